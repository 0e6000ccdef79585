// What the pages do beyond links and forms; without it everything can still be reached.

const narrow = matchMedia("(max-width: 60rem)");
for (const filters of document.querySelectorAll("details.filters")) filters.open = !narrow.matches;

for (const select of document.querySelectorAll(".tools select[name=sort]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, video")) return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const link = rel && document.querySelector(`a[rel="${rel}"]`);
  if (link) link.click();
  if (event.key !== "/") return;
  event.preventDefault();
  const search = document.getElementById("search");
  if (search) search.focus();
  else location.assign("/documents");
});

const bar = document.getElementById("indexing");
async function look() {
  const answer = await fetch("/indexing").catch(() => null);
  if (!answer || !answer.ok) return;
  const { done, total, finished } = await answer.json();
  bar.querySelector("progress").value = done;
  bar.querySelector("progress").max = total;
  bar.querySelector(".done").textContent = done.toLocaleString("en");
  if (!finished) {
    setTimeout(look, 1000);
    return;
  }
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = "Show the page again with all documents";
  bar.replaceChildren("All documents are read. ", link, ".");
}
if (bar) setTimeout(look, 1000);
