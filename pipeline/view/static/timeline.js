// The page of one video: a click on a frame, a word or the map goes to that time; what is heard then is lit.

const watch = document.getElementById("watch");
const video = document.getElementById("video");
const [offset, origin, duration, begin, end] = ["offset", "origin", "duration", "begin", "end"].map((name) => Number(watch.dataset[name]));
const frames = [...document.querySelectorAll("[data-frame]")];
const lines = [...document.querySelectorAll(".said-line")];
const heard = document.getElementById("heard");
const shown = document.getElementById("shown");
const now = document.getElementById("now");
const map = document.getElementById("map");
let time = Number(watch.dataset.at);
let lit = null;
let line = null;
let frame = null;

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const [hours, minutes] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60];
  const rest = `${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// The last one that begins at or before a time; they are in time order.
function lastBefore(items, at, seconds) {
  let [low, high] = [0, items.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(items[middle]) <= seconds + 0.0005) low = middle + 1;
    else high = middle;
  }
  return items[low - 1] ?? null;
}

function tell(seconds) {
  time = Math.min(Math.max(0, seconds), duration || seconds);
  document.getElementById("clock").textContent = clock(time);
  const x = (Math.min(Math.max(time, begin), end) - begin) / (end - begin) * (map.viewBox.baseVal.width - 80);
  for (const name of ["x1", "x2"]) now.setAttribute(name, x);
  const site = document.getElementById("site");
  if (site) site.href = watch.dataset.site.replace("987654321", Math.floor(time + offset));

  const nextFrame = lastBefore(frames, (one) => Number(one.dataset.frame), time);
  if (nextFrame !== frame) {
    frame?.classList.remove("now");
    frame = nextFrame;
    frame?.classList.add("now");
    if (frame) {
      const image = frame.querySelector("img");
      [shown.loading, shown.src, shown.hidden] = ["eager", image.src, false];
      shown.alt = `Frame at ${clock(Number(frame.dataset.frame))}`;
      document.getElementById("shown-of").textContent = shown.alt;
    }
  }
  const nextLine = lastBefore(lines, (one) => Number(one.dataset.start), time);
  if (nextLine !== line) {
    line?.classList.remove("now");
    line = nextLine;
    line?.classList.add("now");
    heard.textContent = line ? line.querySelector("p").textContent : "";
  }
  const words = line ? [...line.querySelectorAll("[data-word]")] : [];
  const word = lastBefore(words, (one) => Number(one.dataset.seek), time);
  const spoken = word && time < Number(word.dataset.end) ? word : null;
  if (spoken !== lit) {
    lit?.classList.remove("lit");
    lit = spoken;
    lit?.classList.add("lit");
  }
}

function seek(seconds) {
  if (video && !video.error) video.currentTime = seconds + origin;
  tell(seconds);
}

document.addEventListener("click", (event) => {
  const place = event.target.closest("[data-seek]");
  if (place) seek(Number(place.dataset.seek));
});
map.addEventListener("click", (event) => {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
  seek(begin + (Math.min(Math.max(0, point.x), map.viewBox.baseVal.width - 80) / (map.viewBox.baseVal.width - 80)) * (end - begin));
});
function step(ahead) {
  const later = frames.filter((one) => (ahead ? Number(one.dataset.frame) > time + 0.0005 : Number(one.dataset.frame) < time - 0.0005));
  const next = ahead ? later[0] : later.at(-1);
  if (!next) return;
  seek(Number(next.dataset.frame));
  next.scrollIntoView({ block: "nearest" });
}
document.getElementById("earlier").addEventListener("click", () => step(false));
document.getElementById("later").addEventListener("click", () => step(true));

function follow() {
  tell(video.currentTime - origin);
  if ("clip" in watch.dataset && time >= duration) video.pause();
  if (!video.paused && !video.ended) requestAnimationFrame(follow);
}
function unplayable() {
  document.getElementById("unplayable").hidden = false;
  document.getElementById("still").hidden = false;
  video.hidden = true;
}
if (video) {
  video.addEventListener("play", follow);
  video.addEventListener("seeked", () => tell(video.currentTime - origin));
  video.addEventListener("error", unplayable);
  if (video.error) unplayable();
  const first = () => (video.currentTime = time + origin);
  if (time + origin > 0) {
    if (video.readyState >= 1) first();
    else video.addEventListener("loadedmetadata", first, { once: true });
  }
}
tell(time);
if (time > begin && frame) frame.scrollIntoView({ block: "center" });
