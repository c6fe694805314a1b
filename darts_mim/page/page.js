"use strict";

// Tables: a click on a column's head sorts by it, another click the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => compare(a.cells[column], b.cells[column], down ? -1 : 1));
      table.tBodies[0].append(...rows);
    });
  });
}

// By number where a cell has one, else as text; what is not known comes last, whichever way.
function compare(a, b, sign) {
  const [x, y] = [a.dataset.value, b.dataset.value];
  if (x === undefined || y === undefined) return sign * a.textContent.localeCompare(b.textContent);
  if (x === "" || y === "") return (x === "") - (y === "");
  return sign * (Number(x) - Number(y));
}

// Parts of which one is shown at a time.
document.querySelectorAll(".tabs").forEach((box, number) => {
  const panels = [...box.querySelectorAll(":scope > .panel")];
  if (panels.length < 2) return;
  const list = document.createElement("div");
  list.className = "tablist";
  list.setAttribute("role", "tablist");
  list.setAttribute("aria-label", box.dataset.label);
  const tabs = panels.map((panel, i) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.textContent = panel.dataset.tab;
    tab.setAttribute("role", "tab");
    panel.id = `tab-${number}-${i}`;
    panel.setAttribute("role", "tabpanel");
    tab.setAttribute("aria-controls", panel.id);
    tab.addEventListener("click", () => show(i));
    list.append(tab);
    return tab;
  });
  function show(chosen) {
    panels.forEach((panel, i) => {
      panel.hidden = i !== chosen;
      tabs[i].setAttribute("aria-selected", String(i === chosen));
      tabs[i].tabIndex = i === chosen ? 0 : -1;
    });
  }
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length;
    show(next);
    tabs[next].focus();
  });
  box.prepend(list);
  show(0);
});

// Forecasts, frame after frame: a slider over the lead, and a button that moves it.
for (const film of document.querySelectorAll(".film")) {
  const steps = [...film.querySelectorAll(".step")];
  if (steps.length < 2) continue;
  const [play, slider] = [document.createElement("button"), document.createElement("input")];
  play.type = "button";
  play.className = "play";
  Object.assign(slider, { type: "range", min: 0, max: steps.length - 1, step: 1 });
  slider.setAttribute("aria-label", "Lead time");
  let timer = null;
  function show(n) {
    steps.forEach((step, i) => { step.hidden = i !== n; });
    slider.value = n;
    slider.setAttribute("aria-valuetext", steps[n].dataset.label);
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "\u25B6 Play";
  }
  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    play.textContent = "\u23F8 Pause";
    timer = setInterval(() => show((Number(slider.value) + 1) % steps.length), 900);
  });
  const controls = document.createElement("div");
  controls.className = "controls";
  controls.append(play, slider);
  film.classList.add("live");
  film.prepend(controls);
  stop();
  show(0);
}

// On paper, what was folded away is open.
const folded = [];
addEventListener("beforeprint", () => {
  folded.push(...document.querySelectorAll("details:not([open])"));
  folded.forEach((one) => { one.open = true; });
});
addEventListener("afterprint", () => { folded.splice(0).forEach((one) => { one.open = false; }); });
