(() => {
  const cards = [...document.querySelectorAll("article.pair")];
  if (!cards.length) return;

  const compare = (card, view) => {
    const figure = card.querySelector(".compare");
    if (!figure) return;
    const again = figure.dataset.view === view;
    if (view === "blink") figure.dataset.front = again && figure.dataset.front === "ours" ? "theirs" : "ours";
    figure.dataset.view = view;
    for (const button of figure.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === view));
    }
    const mix = figure.querySelector(".mix");
    mix.hidden = view !== "overlay";
    figure.querySelector(".theirs").style.opacity = view === "overlay" ? mix.value / 100 : "";
    const front = { ours: "training picture", theirs: "benchmark picture" }[figure.dataset.front];
    figure.querySelector(".front").textContent = view === "blink" ? front : "";
    figure.querySelector(".hint").hidden = view !== "difference";
  };
  const turn = (card) => {
    const button = card.querySelector(".turn");
    if (!button) return;
    const turned = card.querySelector(".turning").classList.toggle("turned");
    button.setAttribute("aria-pressed", String(turned));
  };
  const rowsOf = (card) => card.querySelector(".reach summary").textContent.trim().split(/ and |:/)[0];

  document.addEventListener("input", ({ target }) => {
    if (target.matches(".mix")) target.closest(".compare").querySelector(".theirs").style.opacity = target.value / 100;
  });
  startReview({
    cards,
    name: "infimed-leaks",
    many: "pairs",
    id: "pair",
    fields: ["grade", "uid", "benchmark_uid"],
    verdicts: { right: "r", wrong: "w" },
    effect: (card, verdict) =>
      verdict === "right"
        ? `The next build drops ${rowsOf(card)} for this match.`
        : "The next build drops nothing for this match; other matches of these rows still count.",
    advice: "Put it beside the manifest: decontaminate: {review: review.jsonl}",
    found: (card) => [...card.querySelectorAll(".found")],
    clicked: (card, button, target) => {
      if (button?.dataset.view) compare(card, button.dataset.view);
      else if (button?.classList.contains("turn")) turn(card);
      else if (target.closest(".compare[data-view=blink] .box")) compare(card, "blink");
    },
    keys: {
      b: (card) => compare(card, "blink"),
      d: (card) => compare(card, "difference"),
      o: (card) => compare(card, "overlay"),
      t: turn,
    },
  });
})();
