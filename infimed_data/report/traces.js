(() => {
  const cards = [...document.querySelectorAll("section.trace")];
  if (!cards.length) return;
  const samples = [...document.querySelectorAll("article.sample")];
  const sampleOf = new Map(cards.map((card) => [card, card.closest("article")]));
  const cardsOf = new Map(samples.map((sample) => [sample, []]));
  for (const card of cards) cardsOf.get(sampleOf.get(card)).push(card);

  const effect = (card, verdict) => {
    if (verdict === "bad") return "The next build keeps this trace out.";
    const ended = card.dataset.ended;
    if (ended === "wrong") return "No mark makes a wrong answer right: it stays refused. Mend the gold answer instead.";
    if (ended !== "correct" && ended !== "unverifiable") return "There is no whole text to train on: it stays refused.";
    return "The next build accepts this trace, whatever the gates say.";
  };
  const toSample = (by) => (card, go) => {
    const left = samples.filter((sample) => !sample.hidden);
    const sample = left[left.indexOf(sampleOf.get(card)) + by];
    if (sample) go(cardsOf.get(sample).find((other) => !other.hidden));
  };

  document.addEventListener("click", ({ target }) => {
    // A link to a trace that a filter hides shows it.
    const pill = target.closest("a.pill");
    const card = pill && document.getElementById(pill.hash.slice(1));
    if (card) card.hidden = false;
  });
  startReview({
    cards,
    name: "infimed-traces",
    many: "traces",
    id: "candidate",
    fields: ["uid", "strategy", "attempt"],
    verdicts: { good: "g", bad: "b" },
    effect,
    advice: "Put it beside the manifest and name it in its pass: review: review.jsonl",
    found: (card) => [...sampleOf.get(card).querySelectorAll(".case .found, h2 .found"), ...card.querySelectorAll(".found")],
    filtered: () => {
      for (const sample of samples) sample.hidden = cardsOf.get(sample).every((card) => card.hidden);
    },
    keys: {
      n: toSample(1),
      p: toSample(-1),
      e: (card) => {
        const steps = card.querySelector(".steps");
        if (steps) steps.open = !steps.open;
      },
    },
  });
})();
