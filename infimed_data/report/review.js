"use strict";
// Marks, filters and keys of a page of cards. A page says what is its own:
//   cards     elements that are marked and filtered; name: where the browser keeps marks; many: what they are called
//   id        field of a card's record that names it; fields: further fields that are saved with a mark
//   verdicts  verdict to its key; effect(card, verdict): what a mark will do; advice: where a saved file goes
//   found(card)  elements that the search looks into; filtered(): what else to do once cards are hidden or shown
//   clicked(card, button, target), keys: further hands
const startReview = (page) => {
  const { cards, id } = page;
  const build = JSON.parse(document.body.dataset.build);
  const byId = (name) => document.getElementById(name);
  const key = `${page.name} ${build.label}`;

  // Marks: the build's own, then what was changed here.

  const records = new Map(); // what is saved of a card, whether the page shows it or not
  const earlier = new Map(); // verdicts of the build's own review
  const marks = new Map(); // verdicts as they stand
  const cardOf = new Map();
  for (const holder of document.querySelectorAll("[data-mark]")) {
    const record = JSON.parse(holder.dataset.mark);
    records.set(record[id], record);
    if (holder.dataset.earlier) earlier.set(record[id], holder.dataset.earlier);
    if (holder.matches(".card")) cardOf.set(record[id], holder);
  }
  const idOf = new Map([...cardOf].map(([named, card]) => [card, named]));
  let current = null; // the card that keys act on
  let kept = true; // whether the browser keeps marks

  const restore = () => {
    marks.clear();
    for (const [named, verdict] of earlier) marks.set(named, verdict);
    let stored = null;
    try {
      stored = JSON.parse(localStorage.getItem(key));
    } catch {
      kept = false;
    }
    for (const record of stored?.records ?? []) if (!records.has(record[id])) records.set(record[id], record);
    for (const [named, verdict] of stored?.changes ?? []) {
      if (verdict === null) marks.delete(named);
      else if (verdict in page.verdicts) marks.set(named, verdict);
    }
  };

  const store = () => {
    const changes = [];
    for (const named of new Set([...marks.keys(), ...earlier.keys()])) {
      if (marks.get(named) !== earlier.get(named)) changes.push([named, marks.get(named) ?? null]);
    }
    const loaded = changes.map(([named]) => records.get(named)).filter((record) => record && !cardOf.has(record[id]));
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

  const showMark = (card) => {
    const named = idOf.get(card);
    const verdict = marks.get(named) ?? "";
    card.dataset.verdict = verdict;
    for (const button of card.querySelectorAll("[data-verdict]")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    }
    const same = verdict && earlier.get(named) === verdict;
    card.querySelector(".state").textContent = same ? "marked in this build" : verdict ? "marked here" : "";
    card.querySelector(".effect").textContent = verdict ? page.effect(card, verdict) : "";
  };

  const showMarks = () => {
    const done = cards.filter((card) => marks.has(idOf.get(card))).length;
    const elsewhere = [...marks.keys()].filter((named) => !cardOf.has(named)).length;
    byId("done").value = done;
    byId("progress").textContent = `${done} of ${cards.length} marked` + (elsewhere ? ` (and ${elsewhere} not on this page)` : "");
    byId("save").disabled = !marks.size;
    count();
  };

  const mark = (card, verdict) => {
    const named = idOf.get(card);
    if (verdict) marks.set(named, verdict);
    else marks.delete(named);
    store();
    showMark(card);
    showMarks();
    if (!kept) say("This browser does not keep marks: save review.jsonl before you close the page.", true);
    if (verdict && byId("onward").checked) step(1);
  };

  // Files: one mark a line, in ASCII, sorted by what it names.

  const ascii = (text) => text.replace(/[\u007f-\uffff]/g, (char) => "\\u" + char.charCodeAt(0).toString(16).padStart(4, "0"));

  const line = (named) => {
    const record = records.get(named) ?? {};
    const more = Object.fromEntries(page.fields.map((field) => [field, record[field] ?? null]));
    return ascii(JSON.stringify({ [id]: named, verdict: marks.get(named), ...more, build: record.build ?? build.build })) + "\n";
  };

  const save = () => {
    const blob = new Blob([...marks.keys()].sort().map(line), { type: "application/jsonl" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "review.jsonl";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(`${marks.size} marks saved as review.jsonl. ${page.advice}`);
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
      if (typeof found?.[id] !== "string" || !Object.hasOwn(page.verdicts, found.verdict)) {
        say(`Line ${at + 1} of ${file.name} is not a mark; nothing was loaded.`, true);
        return;
      }
      read.push(found);
    }
    for (const { verdict, ...record } of read) {
      if (!records.has(record[id])) records.set(record[id], record);
      marks.set(record[id], verdict);
    }
    store();
    cards.forEach(showMark);
    showMarks();
    const here = read.filter((record) => cardOf.has(record[id])).length;
    say(`${read.length} marks loaded from ${file.name}, ${here} of them of ${page.many} on this page.`);
  };

  // Filters: a card is shown where every filter admits it; each filter counts what the others leave.

  const selects = [...document.querySelectorAll("select[data-facet]")];
  const search = byId("search");
  const texts = new Map();
  const textOf = (card) => {
    if (!texts.has(card)) texts.set(card, page.found(card).map((part) => part.textContent).join("\n").toLowerCase());
    return texts.get(card);
  };
  const facetsOf = new Map(
    cards.map((card) => [card, Object.fromEntries(selects.map(({ dataset }) => [dataset.facet, card.dataset[dataset.facet].split(" ")]))]),
  );
  const facetTest = (select) => (card, value) => value === "" || facetsOf.get(card)[select.dataset.facet].includes(value);
  const markTest = (card, value) => {
    const verdict = marks.get(idOf.get(card));
    return value === "" || (value === "none" ? !verdict : value === "any" ? Boolean(verdict) : verdict === value);
  };
  const filters = [...selects.map((select) => ({ select, admits: facetTest(select) })), { select: byId("marked"), admits: markTest }];
  const wanted = () => search.value.trim().toLowerCase();
  const fits = (card, without, asked) =>
    filters.every(({ select, admits }) => select === without || admits(card, select.value)) && (!asked || textOf(card).includes(asked));

  const count = () => {
    const asked = wanted();
    for (const { select, admits } of filters) {
      const left = cards.filter((card) => fits(card, select, asked));
      for (const option of select.options) {
        const found = option.value === "" ? left.length : left.filter((card) => admits(card, option.value)).length;
        option.textContent = `${option.dataset.name} (${found})`;
      }
      select.classList.toggle("on", select.value !== "");
    }
  };

  const filter = () => {
    const asked = wanted();
    for (const card of cards) card.hidden = !fits(card, null, asked);
    page.filtered?.();
    const left = cards.filter((card) => !card.hidden).length;
    byId("nothing").hidden = left > 0;
    const filtered = asked || filters.some(({ select }) => select.value);
    search.classList.toggle("on", Boolean(asked));
    byId("clear").disabled = !filtered;
    say(filtered ? `${left} of ${cards.length} ${page.many} fit the filters.` : "");
    count();
  };
  const refilter = () => {
    filter();
    if (current?.hidden) setCurrent(null);
    if (byId("list").getBoundingClientRect().top < 0) byId("list").scrollIntoView();
  };

  // Going from card to card.

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
    // Height of what is seen of a card, below the bar.
    if (card.hidden) return 0;
    const { top, bottom } = card.getBoundingClientRect();
    return Math.min(bottom, innerHeight) - Math.max(top, bar.getBoundingClientRect().bottom, 0);
  };
  const isSeen = (card) => seen(card) > Math.min(card.offsetHeight, innerHeight) / 4;
  const here = () => {
    // The current card, or the one that is seen best where that was scrolled away.
    if (!current || !isSeen(current)) {
      const best = cards.reduce((most, card) => (seen(card) > seen(most) ? card : most));
      setCurrent(seen(best) > 0 ? best : null);
    }
    return current;
  };
  const bring = (card, again = 3) => {
    card.scrollIntoView({ block: "start" });
    // Heights of cards that were never seen are estimates until they are drawn.
    if (again) requestAnimationFrame(() => card === current && bring(card, again - 1));
  };
  const go = (card) => {
    if (!card) return;
    setCurrent(card);
    card.focus({ preventScroll: true });
    bring(card);
  };
  const step = (by) => {
    const left = cards.filter((card) => !card.hidden);
    const known = current && isSeen(current);
    const at = left.indexOf(here());
    go(known || by < 0 ? left[at < 0 ? 0 : at + by] : (current ?? left[0]));
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
    const button = target.closest("button");
    if (button?.dataset.copy) copy(button);
    const card = target.closest(".card");
    if (!card) return;
    setCurrent(card);
    if (button?.dataset.verdict) mark(card, marks.get(idOf.get(card)) === button.dataset.verdict ? "" : button.dataset.verdict);
    else page.clicked?.(card, button, target);
  });
  document.addEventListener("focusin", ({ target }) => {
    const card = target.closest(".card");
    if (card) setCurrent(card);
  });
  let isPointed = false;
  document.addEventListener("input", ({ target }) => {
    if (target === search || target.closest(".filters select")) refilter();
    if (isPointed) target.closest(".filters select")?.blur(); // so that keys go to the cards again
  });
  document.addEventListener("pointerdown", () => (isPointed = true), true);
  byId("clear").addEventListener("click", () => {
    for (const { select } of filters) select.value = "";
    search.value = "";
    refilter();
  });
  const resize = () => byId("list").classList.toggle("larger", byId("larger").checked);
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
  const act = (what) => () => here() && what(current);
  const keys = {
    j: () => step(1),
    k: () => step(-1),
    u: act((card) => mark(card, "")),
    z: () => byId("larger").click(),
    "/": () => search.focus(),
    ...Object.fromEntries(Object.entries(page.verdicts).map(([verdict, key]) => [key, act((card) => mark(card, verdict))])),
    ...Object.fromEntries(Object.entries(page.keys).map(([key, what]) => [key, act((card) => what(card, go))])),
  };
  document.addEventListener("keydown", (event) => {
    isPointed = false;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.matches("select, input:not([type=checkbox], [type=range])")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const does = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!does) return;
    event.preventDefault();
    does();
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
};
