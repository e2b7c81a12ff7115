"use strict";
const bar = document.getElementById("bar");
const cards = [...document.querySelectorAll(".card")].map((card) => ({
  card,
  said: [...card.querySelectorAll(".said > li")],
  asked: card.querySelector(".asked").textContent.toLowerCase(),
  pictured: card.querySelector(".picture") !== null,
}));
const valueOf = (id) => document.getElementById(id).value;

const filter = () => {
  const [step, verdict, source, kind] = ["step", "verdict", "source", "kind"].map(valueOf);
  const pictured = document.getElementById("pictured").checked;
  const text = valueOf("search").trim().toLowerCase();
  let shown = 0;
  for (const { card, said, asked, pictured: has } of cards) {
    const admitted =
      (!step || card.dataset.step === step) && (!source || card.dataset.source === source) &&
      (!kind || card.dataset.kind === kind) && (!pictured || has);
    let left = 0;
    for (const one of said) {
      const found = !text || asked.includes(text) || one.textContent.toLowerCase().includes(text);
      one.hidden = !(admitted && found && (!verdict || one.dataset.verdict === verdict));
      if (!one.hidden) left += 1;
    }
    card.hidden = left === 0;
    shown += left;
  }
  document.getElementById("said").textContent = `${shown} completions shown`;
};

bar.addEventListener("input", filter);
bar.addEventListener("reset", () => setTimeout(filter));
bar.addEventListener("submit", (event) => event.preventDefault());
filter();
