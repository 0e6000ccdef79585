"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const list = byId("stories");
  const stories = [...list.children];
  const search = byId("search");
  const sort = byId("sort");
  const all = byId("all-dropped");
  const number = (story, name) => Number(story.dataset[name]);
  const words = new Map(stories.map((story) => [story, story.textContent.toLowerCase()]));

  const orders = {
    order: (a, b) => number(a, "order") - number(b, "order"),
    span: (a, b) => number(b, "span") - number(a, "span"),
    images: (a, b) => number(b, "images") - number(a, "images"),
    score: (a, b) => number(b, "score") - number(a, "score"),
    "score-low": (a, b) => number(a, "score") - number(b, "score"),
    title: (a, b) => a.dataset.title.localeCompare(b.dataset.title, "en"),
  };

  // Array.sort is stable, so equal documents keep the dataset's order
  sort.addEventListener("change", () => {
    list.append(...stories.sort(orders.order).sort(orders[sort.value]));
  });

  function find() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const story of stories) {
      story.hidden = !wanted.every((word) => words.get(story).includes(word));
      found += story.hidden ? 0 : 1;
    }
    list.classList.toggle("searching", wanted.length > 0);
    byId("none").hidden = found > 0;
    byId("found").textContent = wanted.length ? `${found} of ${stories.length} documents` : `${found} document${found === 1 ? "" : "s"}`;
    highlight(wanted);
  }

  function highlight(wanted) {
    if (!globalThis.CSS || !CSS.highlights) return;
    const ranges = [];
    for (const story of wanted.length ? stories.filter((one) => !one.hidden) : []) {
      const texts = document.createTreeWalker(story, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const text = texts.currentNode.data.toLowerCase();
        for (const word of wanted) {
          for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + word.length)) {
            const range = new Range();
            range.setStart(texts.currentNode, at);
            range.setEnd(texts.currentNode, Math.min(at + word.length, texts.currentNode.length));
            ranges.push(range);
          }
        }
      }
    }
    CSS.highlights.set("found", new Highlight(...ranges));
  }

  search.addEventListener("input", find);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      search.value = "";
      find();
    }
  });
  byId("tools").addEventListener("submit", (event) => event.preventDefault());

  function open(story, whole) {
    const board = story.querySelector(".board");
    const more = story.querySelector(".more");
    board.classList.toggle("clipped", !whole);
    more.setAttribute("aria-expanded", String(whole));
    more.textContent = whole ? "Show less" : "Show the whole document";
  }

  function showDropped(story, shown) {
    const toggle = story.querySelector(".toggle");
    if (!toggle) return;
    for (const beat of story.querySelectorAll(".dropped")) beat.hidden = !shown;
    toggle.setAttribute("aria-pressed", String(shown));
    toggle.textContent = toggle.textContent.replace(/^\s*\w+/, shown ? "Hide" : "Show");
    if (shown) open(story, true);
  }

  for (const story of stories) {
    const board = story.querySelector(".board");
    const more = story.querySelector(".more");
    board.classList.add("clipped");
    more.hidden = board.scrollHeight <= board.clientHeight + 8;
    if (more.hidden) board.classList.remove("clipped");
    more.addEventListener("click", () => open(story, more.getAttribute("aria-expanded") !== "true"));
    const toggle = story.querySelector(".toggle");
    if (toggle) toggle.addEventListener("click", () => showDropped(story, toggle.getAttribute("aria-pressed") !== "true"));
  }
  if (all) all.addEventListener("change", () => stories.forEach((story) => showDropped(story, all.checked)));

  list.addEventListener("keydown", (event) => {
    const story = event.target;
    if (!story.classList.contains("story")) return;
    const shown = [...list.children].filter((one) => !one.hidden);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const next = event.key === "Home" ? shown[0] : event.key === "End" ? shown.at(-1) : shown[shown.indexOf(story) + step];
    if (next) {
      event.preventDefault();
      next.focus({ preventScroll: true });
      next.scrollIntoView({ block: "start" });
    } else if (event.key === "Enter") {
      story.querySelector(".more").click();
    }
  });
})();
