// Draws the charts, sorts the tables, and shows one comparison at a time.
const content = JSON.parse(document.getElementById("content").textContent);
const chooser = document.getElementById("choose");
const isDark = matchMedia("(prefers-color-scheme: dark)");
let chosen = chooser.value;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function config() {
  const text = { labelColor: colour("muted"), titleColor: colour("muted"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
  return {
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: { ...text, gridColor: colour("line"), domainColor: colour("line"), tickColor: colour("line") },
    legend: text,
    range: {
      heatmap: [colour("heat-low"), colour("heat-high")],
      diverging: [colour("worse"), colour("heat-low"), colour("better")],
    },
  };
}

// A specification with its rows, and the style sheet's colours in the place of their names.
function filled(name, rows) {
  const text = JSON.stringify(content.specs[name]).replace(/"\$([a-z-]+)"/g, (match, word) =>
    word === "schema" ? match : JSON.stringify(colour(word)));
  const spec = JSON.parse(text);
  spec.datasets = { rows };
  spec.autosize = { type: "fit-x", contains: "padding" };
  delete spec.config;
  return spec;
}

// The rows of a table, which holds each column's name once.
function rowsOf(place) {
  const { columns, rows } = content.tables[place];
  return rows.map((row) => Object.fromEntries(columns.map((column, index) => [column, row[index]])));
}

async function draw(figure) {
  const place = figure.closest("[data-of]")?.dataset.of;
  let name = figure.dataset.chart;
  const view = name === "confusion" ? figure.closest(".of").querySelector(".views input:checked").value : name;
  let rows = rowsOf(name === "drops" ? content.drops : name === "layers" ? content.layers[figure.dataset.place] : content.comparisons[place][view]);
  if (name === "confusion") {
    // More of the right is better, more of the wrong is worse: the colour says which.
    if (view === "change") {
      name = "change";
      rows = rows.map((row) => ({ ...row, shade: row.label === row.prediction ? row.shade : -row.shade }));
    }
  }
  const canvas = figure.querySelector(".canvas");
  // An interpreter of expressions: the page's policy allows no eval.
  const drawn = await vegaEmbed(canvas, filled(name, rows), { actions: false, renderer: "svg", ast: true, config: config() });
  drawn.view.description(figure.getAttribute("aria-label")).run();
}

function drawShown() {
  document.documentElement.dataset.drawn = isDark.matches ? "dark" : "light";
  for (const figure of document.querySelectorAll(".chart")) {
    if (!figure.closest("[hidden]")) draw(figure);
  }
}

function choose(place) {
  chosen = chooser.value = String(place);
  for (const part of document.querySelectorAll(".of")) part.hidden = part.dataset.of !== chosen;
  drawShown();
}

function sort(button) {
  const heading = button.closest("th");
  const table = heading.closest("table");
  const ascending = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const key = (row) => row.cells[heading.cellIndex].dataset.value;
  const body = table.tBodies[0];
  const rows = [...body.rows].sort((one, other) => {
    const [a, b] = [key(one), key(other)];
    // What has no value stays last, whichever way the others stand.
    if (a === "" || b === "") return (a === "") - (b === "");
    const order = isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b;
    return ascending ? order : -order;
  });
  body.append(...rows);
}

function open(thumb) {
  document.getElementById("flip-title").textContent = thumb.dataset.title;
  const image = document.getElementById("flip-image");
  image.src = thumb.querySelector("img").src;
  image.alt = thumb.querySelector("img").alt;
  const list = document.createElement("dl");
  for (const [model, name, probability, margin] of JSON.parse(thumb.dataset.figures)) {
    const term = document.createElement("dt");
    term.textContent = `${model} says`;
    const said = document.createElement("dd");
    const strong = document.createElement("b");
    strong.textContent = name;
    const bar = document.createElement("meter");
    bar.value = parseFloat(probability.replace(">", "")) / 100;
    bar.textContent = probability;
    said.append(strong, ` ${probability}`, bar, `margin ${margin}`);
    list.append(term, said);
  }
  document.getElementById("flip-figures").replaceChildren(list);
  document.getElementById("flip").showModal();
}

document.addEventListener("click", (event) => {
  const target = event.target;
  if (target.closest("th button")) sort(target.closest("th button"));
  else if (target.closest(".thumb")) open(target.closest(".thumb"));
  else if (target.closest("[data-open]")) choose(target.closest("[data-open]").dataset.open);
  else if (target.id === "copy") {
    navigator.clipboard.writeText(document.getElementById("command").textContent);
    target.textContent = "Copied";
  } else if (target.id === "flip") target.close();
});
document.addEventListener("change", (event) => {
  if (event.target === chooser) choose(chooser.value);
  else if (event.target.closest(".views")) draw(event.target.closest(".of").querySelector("[data-chart=confusion]"));
});
for (const image of document.querySelectorAll("[data-image]")) {
  image.src = `data:image/png;base64,${content.images[image.dataset.image]}`;
}
isDark.addEventListener("change", drawShown);
drawShown();
