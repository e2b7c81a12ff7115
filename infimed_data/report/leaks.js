"use strict";
(() => {
  const build = JSON.parse(document.body.dataset.build);
  const cards = [...document.querySelectorAll("article.pair")];
  if (!cards.length) return;
  const byId = (id) => document.getElementById(id);
  const key = `infimed-leaks ${build.label}`;

  // Marks: the build's own, then what was changed here.

  const records = new Map(); // what is saved of a pair, whether the page shows it or not
  const earlier = new Map(); // verdicts of the build's own review
  const marks = new Map(); // verdicts as they stand
  const cardOf = new Map();
  for (const holder of document.querySelectorAll("[data-mark]")) {
    const record = JSON.parse(holder.dataset.mark);
    records.set(record.pair, record);
    if (holder.dataset.earlier) earlier.set(record.pair, holder.dataset.earlier);
    if (holder.matches("article")) cardOf.set(record.pair, holder);
  }
  const pairOf = new Map([...cardOf].map(([pair, card]) => [card, pair]));
  let current = null; // the pair that keys act on
  let kept = true; // whether the browser keeps marks

  const restore = () => {
    marks.clear();
    for (const [pair, verdict] of earlier) marks.set(pair, verdict);
    let stored = null;
    try {
      stored = JSON.parse(localStorage.getItem(key));
    } catch {
      kept = false;
    }
    for (const record of stored?.records ?? []) if (!records.has(record.pair)) records.set(record.pair, record);
    for (const [pair, verdict] of stored?.changes ?? []) {
      if (verdict === null) marks.delete(pair);
      else if (verdict === "right" || verdict === "wrong") marks.set(pair, verdict);
    }
  };

  const store = () => {
    const changes = [];
    for (const pair of new Set([...marks.keys(), ...earlier.keys()])) {
      if (marks.get(pair) !== earlier.get(pair)) changes.push([pair, marks.get(pair) ?? null]);
    }
    const loaded = changes.map(([pair]) => records.get(pair)).filter((record) => record && !cardOf.has(record.pair));
    try {
      if (changes.length) localStorage.setItem(key, JSON.stringify({ changes, records: loaded }));
      else localStorage.removeItem(key);
      kept = true;
    } catch {
      kept = false;
    }
  };

  const say = (text, isWarning = false) => {
    byId("said").textContent = text;
    byId("said").classList.toggle("warn", isWarning);
    measureBar();
  };

  const rowsOf = (card) => card.querySelector(".reach summary").textContent.trim().split(/ and |:/)[0];

  const showMark = (card) => {
    const pair = pairOf.get(card);
    const verdict = marks.get(pair) ?? "";
    card.dataset.verdict = verdict;
    for (const button of card.querySelectorAll("[data-verdict]")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    }
    const same = verdict && earlier.get(pair) === verdict;
    card.querySelector(".state").textContent = same ? "marked in this build" : verdict ? "marked here" : "";
    const effect = {
      right: `The next build drops ${rowsOf(card)} for this match.`,
      wrong: "The next build drops nothing for this match; other matches of these rows still count.",
    };
    card.querySelector(".effect").textContent = effect[verdict] ?? "";
  };

  const showMarks = () => {
    const done = cards.filter((card) => marks.has(pairOf.get(card))).length;
    const elsewhere = [...marks.keys()].filter((pair) => !cardOf.has(pair)).length;
    byId("done").value = done;
    byId("progress").textContent = `${done} of ${cards.length} marked` + (elsewhere ? ` (and ${elsewhere} not on this page)` : "");
    byId("save").disabled = !marks.size;
    count();
  };

  const mark = (card, verdict) => {
    const pair = pairOf.get(card);
    if (verdict && marks.get(pair) !== verdict) marks.set(pair, verdict);
    else if (!verdict) marks.delete(pair);
    store();
    showMark(card);
    showMarks();
    if (!kept) say("This browser does not keep marks: save review.jsonl before you close the page.", true);
    if (verdict && byId("onward").checked) step(1);
  };

  // Files: one mark a line, in ASCII, sorted by pair.

  const ascii = (text) => text.replace(/[\u007f-\uffff]/g, (char) => "\\u" + char.charCodeAt(0).toString(16).padStart(4, "0"));

  const line = (pair) => {
    const { grade = null, uid = null, benchmark_uid = null, build: madeIn = build.build } = records.get(pair) ?? {};
    return ascii(JSON.stringify({ pair, verdict: marks.get(pair), grade, uid, benchmark_uid, build: madeIn })) + "\n";
  };

  const save = () => {
    const blob = new Blob([...marks.keys()].sort().map(line), { type: "application/jsonl" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "review.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(`${marks.size} marks saved as review.jsonl. Put it beside the manifest: decontaminate: {review: review.jsonl}`);
  };

  const load = async (file) => {
    const read = [];
    for (const [at, text] of (await file.text()).replace(/^\ufeff/, "").split("\n").entries()) {
      if (!text.trim()) continue;
      let found = null;
      try {
        found = JSON.parse(text);
      } catch {
        // told below
      }
      if (typeof found?.pair !== "string" || (found.verdict !== "right" && found.verdict !== "wrong")) {
        say(`Line ${at + 1} of ${file.name} is not a mark; nothing was loaded.`, true);
        return;
      }
      read.push(found);
    }
    for (const { verdict, ...record } of read) {
      if (!records.has(record.pair)) records.set(record.pair, record);
      marks.set(record.pair, verdict);
    }
    store();
    cards.forEach(showMark);
    showMarks();
    const here = read.filter(({ pair }) => cardOf.has(pair)).length;
    say(`${read.length} marks loaded from ${file.name}, ${here} of them of pairs on this page.`);
  };

  // Filters: a pair is shown where every filter admits it; each filter counts what the others leave.

  const selects = [...document.querySelectorAll("[data-facet]")];
  const search = byId("search");
  const texts = new Map();
  const textOf = (card) => {
    if (!texts.has(card)) {
      texts.set(card, [...card.querySelectorAll(".found")].map((part) => part.textContent).join("\n").toLowerCase());
    }
    return texts.get(card);
  };
  const facetTest = (select) => (card, value) => value === "" || card.dataset[select.dataset.facet].split(" ").includes(value);
  const markTest = (card, value) => {
    const verdict = marks.get(pairOf.get(card));
    return value === "" || (value === "none" ? !verdict : value === "any" ? Boolean(verdict) : verdict === value);
  };
  const filters = [...selects.map((select) => ({ select, admits: facetTest(select) })), { select: byId("marked"), admits: markTest }];
  const fits = (card, without) =>
    (!search.value.trim() || textOf(card).includes(search.value.trim().toLowerCase())) &&
    filters.every(({ select, admits }) => select === without || admits(card, select.value));

  const count = () => {
    for (const { select, admits } of filters) {
      const left = cards.filter((card) => fits(card, select));
      for (const option of select.options) {
        option.textContent = `${option.dataset.name} (${left.filter((card) => admits(card, option.value)).length})`;
      }
      select.classList.toggle("on", select.value !== "");
    }
  };

  const filter = () => {
    for (const card of cards) card.hidden = !fits(card, null);
    const left = cards.filter((card) => !card.hidden).length;
    byId("nothing").hidden = left > 0;
    const filtered = search.value.trim() || filters.some(({ select }) => select.value);
    search.classList.toggle("on", Boolean(search.value.trim()));
    byId("clear").disabled = !filtered;
    say(filtered ? `${left} of ${cards.length} pairs fit the filters.` : "");
    count();
  };
  const refilter = () => {
    filter();
    if (current?.hidden) setCurrent(null);
    if (byId("pairs").getBoundingClientRect().top < 0) byId("pairs").scrollIntoView();
  };

  // Going from pair to pair.

  const bar = byId("bar");
  const measureBar = () => {
    const height = getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0;
    document.documentElement.style.setProperty("--bar", `${height}px`);
  };
  const setCurrent = (card) => {
    if (card === current) return;
    current?.classList.remove("current");
    current = card;
    current?.classList.add("current");
  };
  const seen = (card) => {
    // Height of what is seen of a pair, below the bar.
    if (card.hidden) return 0;
    const { top, bottom } = card.getBoundingClientRect();
    return Math.min(bottom, innerHeight) - Math.max(top, bar.getBoundingClientRect().bottom, 0);
  };
  const isSeen = (card) => seen(card) > Math.min(card.offsetHeight, innerHeight) / 4;
  const here = () => {
    // The current pair, or the one that is seen best where that was scrolled away.
    if (!current || !isSeen(current)) {
      const best = cards.reduce((most, card) => (seen(card) > seen(most) ? card : most));
      setCurrent(seen(best) > 0 ? best : null);
    }
    return current;
  };
  const bring = (card, again = 3) => {
    card.scrollIntoView({ block: "start" });
    // Heights of pairs that were never seen are estimates until they are drawn.
    if (again) requestAnimationFrame(() => card === current && bring(card, again - 1));
  };
  const step = (by) => {
    const left = cards.filter((card) => !card.hidden);
    const known = current && isSeen(current);
    const at = left.indexOf(here());
    const target = known || by < 0 ? left[at < 0 ? 0 : at + by] : (current ?? left[0]);
    if (!target) return;
    setCurrent(target);
    target.focus({ preventScroll: true });
    bring(target);
  };

  // Comparing pictures.

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

  const copy = async (button) => {
    const text = JSON.parse(button.dataset.copy) ?? "";
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "selected";
    }
    setTimeout(() => (button.textContent = "copy"), 1500);
  };

  // Hands.

  document.addEventListener("click", ({ target }) => {
    const card = target.closest("article.pair");
    if (!card) return;
    setCurrent(card);
    const button = target.closest("button");
    if (button?.dataset.verdict) mark(card, marks.get(pairOf.get(card)) === button.dataset.verdict ? "" : button.dataset.verdict);
    else if (button?.dataset.view) compare(card, button.dataset.view);
    else if (button?.dataset.copy) copy(button);
    else if (button?.classList.contains("turn")) turn(card);
    else if (target.closest(".compare[data-view=blink] .box")) compare(card, "blink");
  });
  document.addEventListener("focusin", ({ target }) => {
    const card = target.closest("article.pair");
    if (card) setCurrent(card);
  });
  document.addEventListener("input", ({ target }) => {
    if (target.matches(".mix")) target.closest(".compare").querySelector(".theirs").style.opacity = target.value / 100;
    else if (target === search || target.closest(".filters select")) refilter();
    if (isPointed) target.closest(".filters select")?.blur(); // so that keys go to the pairs again
  });
  let isPointed = false;
  document.addEventListener("pointerdown", () => (isPointed = true), true);
  byId("clear").addEventListener("click", () => {
    for (const { select } of filters) select.value = "";
    search.value = "";
    refilter();
  });
  const resize = () => byId("pairs").classList.toggle("larger", byId("larger").checked);
  byId("larger").addEventListener("change", () => {
    const card = here();
    resize();
    if (card) bring(card);
  });
  byId("save").addEventListener("click", save);
  byId("load").addEventListener("change", async ({ target }) => {
    if (target.files[0]) await load(target.files[0]);
    target.value = "";
  });
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    r: () => here() && mark(current, "right"),
    w: () => here() && mark(current, "wrong"),
    u: () => here() && mark(current, ""),
    b: () => here() && compare(current, "blink"),
    d: () => here() && compare(current, "difference"),
    o: () => here() && compare(current, "overlay"),
    t: () => here() && turn(current),
    z: () => byId("larger").click(),
    "/": () => search.focus(),
  };
  document.addEventListener("keydown", (event) => {
    isPointed = false;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.matches("select, input:not([type=checkbox], [type=range])")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const act = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  addEventListener("storage", (event) => {
    if (event.key !== key) return;
    restore();
    cards.forEach(showMark);
    showMarks();
  });
  new ResizeObserver(measureBar).observe(bar);

  resize();
  restore();
  cards.forEach(showMark);
  filter();
  showMarks();
})();
