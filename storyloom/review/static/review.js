// One key per answer; an answer is on the disk before the next pair is asked for.

const pair = document.querySelector(".pair");
const buttons = [...document.querySelectorAll("[data-answer]")];
const problem = document.getElementById("problem");
let sending = false;

async function answer(value) {
  if (sending) return;
  sending = true;
  problem.hidden = true;
  try {
    const reply = await fetch(`/review/${pair.dataset.number}/${value}`, { method: "POST" });
    if (!reply.ok) throw new Error(`the server answered ${reply.status}`);
    location.assign((await reply.json()).next);
  } catch (reason) {
    problem.textContent = `This answer was not kept: ${reason.message}. Is storyloom review still running?`;
    problem.hidden = false;
    sending = false;
  }
}

for (const button of buttons) button.addEventListener("click", () => answer(button.dataset.answer));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const button = buttons[["1", "2", "3"].indexOf(event.key)];
  if (button) button.click();
  else if (event.key === "Backspace") document.querySelector('.pair a[rel="prev"]')?.click();
  else if (event.key === "n") {
    const around = document.querySelector(".around");
    around.open = !around.open;
  }
});
