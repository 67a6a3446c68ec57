"use strict";

// The neighbours of what was dropped, and what it has in common with one of them; what page.js has is used here.
const NEIGHBOURS = 12;
const MOST_BYTES = 256 * 2 ** 20; // of a file whose SHA-256 is computed here

let indexes = {}; // by name of a model
let match = null; // maps of both, and the neighbour's picture

async function findNeighbours(job, inputs, file) {
  const model = $("model").value;
  match = null;
  $("search-section").hidden = true;
  $("match-section").hidden = true;
  if (!Object.hasOwn(indexes, model)) return;
  const start = performance.now();
  const wanted = { inputs, k: NEIGHBOURS };
  // Of images the server sees the file itself.
  if (isVideo(inputs)) wanted.sha256 = [await digest(file)];
  const [{ neighbours, error }] = (await ask(`${modelPath()}:search`, wanted)).results;
  if (job !== running) return;
  if (error) throw new Error(`No neighbours: ${error}.`);
  const path = modelPath();
  $("neighbours").replaceChildren(...neighbours.map((one) => {
    const item = document.createElement("li");
    item.append(card(one, path, () => compare(job, inputs, one, file.name)));
    return item;
  }));
  const seconds = (performance.now() - start) / 1000;
  $("compared").textContent = `${indexes[model].items.toLocaleString("en")} items, ${seconds.toFixed(2)} s. ` +
    "Click one to see what both have in common.";
  $("search-section").hidden = false;
}

// SHA-256 of a file, by which the server knows it; null where the browser does not compute it.
async function digest(file) {
  if (!globalThis.crypto?.subtle || file.size > MOST_BYTES) return null; // a page over http of another machine
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function card(neighbour, path, clicked) {
  const button = document.createElement("button");
  button.type = "button";
  button.ariaPressed = "false";
  if (neighbour.picture) {
    const image = document.createElement("img");
    image.alt = "";
    image.loading = "lazy";
    image.src = `${path}/items/${neighbour.item}`;
    image.addEventListener("error", () => image.remove()); // its file has gone, or is another one by now
    button.append(image);
  }
  const label = neighbour.label === null ? "" : neighbour.label;
  const similarity = neighbour.similarity.toFixed(3) + (neighbour.same_file ? ", the same file" : "");
  for (const text of [similarity, label, neighbour.name]) {
    const line = document.createElement("span");
    line.textContent = text;
    if (text) button.append(line);
  }
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("#neighbours button")) other.ariaPressed = String(other === button);
    clicked();
  });
  return button;
}

let comparing = 0;

async function compare(job, inputs, neighbour, name) {
  const own = ++comparing;
  const isCurrent = () => job === running && own === comparing;
  say(`${neighbour.name} …`);
  try {
    const wanted = { inputs, k: 1, explain: true, item: neighbour.item };
    if (isVideo(inputs)) wanted.sha256 = [null];
    const [{ explanation }] = (await ask(`${modelPath()}:search`, wanted)).results;
    const picture = neighbour.picture ? await fetched(`${modelPath()}/items/${neighbour.item}`) : null;
    if (!isCurrent()) return;
    if (!explanation.query) throw new Error(explanation.error);
    match = { query: explanation.query.contributions, match: explanation.match?.contributions, picture };
    $("match-title").textContent = explanation.similarity.toFixed(3);
    $("query-name").textContent = name;
    $("match-name").textContent = neighbour.name;
    $("match-note").textContent = explanation.error ||
      "The parts of each add up to the similarity; orange makes both similar, purple different.";
    $("match-section").hidden = false;
    drawMatch();
    $("match-section").scrollIntoView({ block: "nearest" });
    say("");
  } catch (error) {
    if (isCurrent()) say(error.message, true);
  }
}

async function fetched(path) {
  const response = await fetch(path);
  return response.ok ? createImageBitmap(await response.blob()) : null;
}

// Of a video the frame that is shown above, and of the neighbour the one in its middle, which its picture shows.
function drawMatch() {
  if (!match) return;
  const frame = Number($("frame").value);
  const hasFrames = rank(match.query) === 3;
  const both = [
    ["query", pictures[frame], hasFrames ? match.query[frame] : match.query],
    ["match", match.picture, hasFrames && match.match ? match.match[match.match.length >> 1] : match.match],
  ];
  const most = largest([match.query, match.match || []]);
  for (const [side, picture, map] of both) {
    paintPicture($(`${side}-picture`), picture);
    $(`${side}-heat`).hidden = !map;
    if (map) paintHeat($(`${side}-heat`), map, most);
  }
}
