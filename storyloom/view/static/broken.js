// A broken picture says so in its place. Loaded before the first picture, since one that fails sooner is never heard of;
// errors do not bubble, so they are caught on their way down.

function tellBroken(image) {
  const note = document.createElement("p");
  note.className = "absent";
  note.textContent = "this picture cannot be shown";
  image.replaceWith(note);
}
document.addEventListener("error", (event) => event.target instanceof HTMLImageElement && tellBroken(event.target), true);
