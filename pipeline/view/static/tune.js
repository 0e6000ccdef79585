// The tune page: each move of a setting asks for new figures; the answer grows until the whole sample is counted.

const form = document.getElementById("knobs");
const inputs = [...form.querySelectorAll("[name]")];
const sliders = [...form.querySelectorAll("input[type=range]")];
const WAIT = 120; // milliseconds without a move before it is asked for
const AGAIN = 60; // before the rest of a sample is asked for
let waiting = 0;
let asked = 0;

const number = (name) => form.elements[name];
const byRate = () => form.querySelector("[name=by]:checked").value === "rate";

// A slider of a share is logarithmic: 0.001 to 0.01 takes as much of it as 0.01 to 0.1.
function toSlider(slider) {
  const value = Number(number(slider.dataset.of).value);
  if (!("log" in slider.dataset)) {
    slider.value = value;
    return;
  }
  const [low, high] = [Number(slider.dataset.low), Number(slider.dataset.high)];
  slider.value = Math.round((1000 * Math.log(Math.max(value, low) / low)) / Math.log(high / low));
}

function fromSlider(slider) {
  const input = number(slider.dataset.of);
  if ("log" in slider.dataset) {
    const [low, high] = [Number(slider.dataset.low), Number(slider.dataset.high)];
    input.value = Number((low * (high / low) ** (slider.value / 1000)).toPrecision(2));
  } else input.value = Number(Number(slider.value).toFixed(4));
}

function tellSliders() {
  for (const slider of sliders) {
    const input = number(slider.dataset.of);
    slider.setAttribute("aria-valuetext", input.value);
    const off = slider.dataset.of === (byRate() ? "threshold" : "false_accept_rate");
    slider.disabled = input.disabled = off;
  }
}

function moved() {
  const query = new URLSearchParams();
  for (const input of inputs) {
    if (input.name === "by" || input.disabled || input.value === "") continue;
    if (input.name === "threshold" ? form.elements.by.value !== input.form.dataset.by || input.value !== input.dataset.run : input.value !== input.dataset.run)
      query.set(input.name, input.value);
  }
  if (byRate() && form.dataset.by !== "rate") query.set("threshold", "calibrated");
  return query;
}

function move() {
  tellSliders();
  clearTimeout(waiting);
  waiting = setTimeout(() => ask(moved(), (asked += 1)), WAIT);
}

async function ask(query, turn) {
  const more = document.getElementById("more");
  const answer = await fetch(`/tune/move?${query}`).catch(() => null);
  if (turn !== asked) return;
  const found = answer ? await answer.json().catch(() => null) : null;
  if (turn !== asked) return;
  const problem = document.getElementById("problem");
  problem.hidden = Boolean(found && !found.problem);
  if (!found || found.problem) {
    problem.textContent = found ? found.problem : "The server does not answer: is it still running?";
    more.hidden = true;
    return;
  }
  history.replaceState(null, "", query.size ? `?${query}` : location.pathname);
  tell(found);
  more.hidden = found.whole;
  if (!found.whole) setTimeout(() => turn === asked && ask(query, turn), AGAIN);
}

const shown = (count) => count.value.toLocaleString("en") + (count.error ? ` ± ${count.error.toLocaleString("en")}` : "");

function tell(found) {
  document.getElementById("sentence").textContent = found.sentence;
  for (const row of document.querySelectorAll("#counts tbody tr"))
    for (const cell of row.querySelectorAll("td")) {
      const count = found.counts[row.dataset.what][cell.dataset.way];
      cell.textContent = shown(count);
      cell.className = count.value && cell.dataset.way === "lost" ? "lost" : count.value && cell.dataset.way === "gained" ? "gained" : "";
    }
  draw(found.bars, found.threshold);
  for (const [kind, some] of Object.entries(found.examples)) list(kind, some);
  const changed = found.options !== "";
  document.getElementById("unchanged").hidden = changed;
  document.getElementById("written").hidden = !changed;
  for (const name of ["yaml", "options", "command"]) document.getElementById(name).textContent = found[name];
}

function list(kind, some) {
  const place = document.getElementById(kind);
  const key = JSON.stringify(some);
  document.getElementById(`${kind}-none`).hidden = some.length > 0;
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  place.replaceChildren(...some.map(example));
}

function example(one) {
  const item = document.getElementById("example").content.cloneNode(true);
  const link = item.querySelector("a");
  link.href = one.link;
  const image = item.querySelector("img");
  [image.src, image.width, image.height] = [one.picture, one.width, one.height];
  image.alt = `Frame at ${one.time} of ${one.name}`;
  item.querySelector(".time").textContent = one.time;
  const paired = one.similarity !== null;
  item.querySelector(".score").textContent = paired ? `similarity ${one.similarity.toFixed(3)}` : "no sentence of its own";
  const needed = item.querySelector(".needed");
  if (!paired) needed.remove();
  else if (one.needed === null) needed.textContent = "more is asked than any unrelated pair has";
  else needed.textContent = `asked ${one.needed.toFixed(3)}, ${signed(one.similarity - one.needed)}`;
  const reason = item.querySelector(".reason");
  if (one.reason) reason.textContent = `dropped: ${one.reason}`;
  else reason.remove();
  item.querySelector(".said").textContent = one.sentence;
  item.querySelector(".of").textContent = one.name;
  return item;
}

const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);

const SVG = "http://www.w3.org/2000/svg";
function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function draw(bars, threshold) {
  const plot = document.getElementById("plot");
  const [width, height, left, right, top, bottom] = [640, 250, 8, 8, 10, 24];
  const low = Math.min(bars.edges[0], threshold);
  const high = Math.max(bars.edges.at(-1), threshold) + 0.001;
  const most = Math.max(1, ...bars.null, ...bars.kept.map((count, i) => count + bars.dropped[i]));
  const x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
  const y = (count) => height - bottom - (count / most) * (height - top - bottom);
  const shapes = [];
  bars.kept.forEach((kept, i) => {
    const [begin, end] = [x(bars.edges[i]), x(bars.edges[i + 1])];
    const box = (count, under, kind) => {
      if (!count) return;
      const made = shape("rect", { class: kind, x: begin, y: y(count + under), width: Math.max(1, end - begin - 1), height: y(under) - y(count + under) });
      made.append(shape("title", {}, `${bars.edges[i].toFixed(2)} to ${bars.edges[i + 1].toFixed(2)}: ${count} ${kind === "kept" ? "kept" : "dropped"}`));
      shapes.push(made);
    };
    box(bars.dropped[i], 0, "unlike");
    box(kept, bars.dropped[i], "kept");
  });
  const path = bars.null.map((count, i) => `${i ? "L" : "M"}${x(bars.edges[i])} ${y(count)}H${x(bars.edges[i + 1])}`).join("");
  shapes.push(shape("path", { class: "null", d: path }));
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5].find((one) => (high - low) / one <= 9) ?? 1;
  for (let at = Math.ceil(low / step) * step; at <= high; at += step)
    shapes.push(shape("text", { x: x(at), y: height - 6, "text-anchor": "middle" }, at.toFixed(2).replace("-", "−")));
  shapes.push(shape("line", { class: "threshold", x1: x(threshold), x2: x(threshold), y1: 0, y2: height - bottom }));
  plot.replaceChildren(...shapes);
  const total = (some) => some.reduce((sum, one) => sum + one, 0).toLocaleString("en");
  document.getElementById("plot-summary").textContent = `The threshold is ${threshold.toFixed(3)}. Of the frames that were looked at, ${total(bars.kept)} with a sentence are kept, ${total(bars.dropped)} are dropped for their similarity.`;
}

form.dataset.by = form.querySelector("[name=by]").dataset.run;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", (event) => {
  if (event.target.type === "range") fromSlider(event.target);
  else sliders.filter((slider) => slider.dataset.of === event.target.name).forEach(toSlider);
  move();
});
document.getElementById("reset").addEventListener("click", () => {
  for (const input of inputs) {
    if (input.name === "by") input.checked = input.value === input.dataset.run;
    else input.value = input.dataset.run;
  }
  sliders.forEach(toSlider);
  move();
});
for (const button of document.querySelectorAll("[data-copy]"))
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const done = await navigator.clipboard.writeText(source.textContent).then(() => true, () => false);
    if (!done) getSelection().selectAllChildren(source);
    document.getElementById("copied").textContent = done ? "Copied." : "Selected: copy it with the keyboard.";
    const label = button.textContent;
    button.textContent = done ? "Copied" : "Selected";
    setTimeout(() => (button.textContent = label), 1500);
  });

// An address with settings is that move.
const given = new URLSearchParams(location.search);
for (const [name, value] of given) {
  const input = form.elements[name];
  if (!input || name === "by") continue;
  if (name === "threshold") form.elements.by.value = value === "calibrated" ? "rate" : "number";
  if (value !== "calibrated") input.value = value;
  input.closest("details")?.setAttribute("open", "");
}
sliders.forEach(toSlider);
move();
