"use strict";

// Frames of a video that are sent where the model does not tell, as the paper samples them, and the longest side they are
// sent with.
const NUM_FRAMES = 25;
const LONGEST_SIDE = 640;
const CURVES = 3;
const COLORS = ["#1c7ed6", "#e8590c", "#2f9e44"];
// Of heat maps: orange adds to the score, purple takes from it; the scale ends at this part of the magnitudes.
const [POSITIVE, NEGATIVE, OPACITY] = [[179, 88, 6], [84, 39, 136], 220];
const PERCENTILE = 0.99;
const $ = (id) => document.getElementById(id);

let heatMaps = [];
let pictures = [];
let times = [];
let unit = " s"; // of the times; empty where they are numbers of frames
let running = 0;

async function ask(path, body) {
  const options = body && { method: "POST", body: body instanceof Blob ? body : JSON.stringify(body) };
  const response = await fetch(path, options);
  // TensorFlow Serving's JSON may hold NaN, which JSON does not have.
  const text = (await response.text()).replace(/([[,:]\s*)(NaN|-?Infinity)(?=\s*[,\]}])/g, "$1null");
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error(`The server answered ${response.status}: ${text.slice(0, 100)}`);
  }
  if (!response.ok) throw new Error(content.error || `The server answered ${response.status}.`);
  return content;
}

const modelPath = () => `/v1/models/${encodeURIComponent($("model").value)}`;

async function signatures() {
  return (await ask(`${modelPath()}/metadata`)).metadata.signature_def.signature_def;
}

// How the frames of a video were chosen in the training: the text of keras_fvvae/serving/sampling.py.
function sampling(known) {
  try {
    const { frames, frame_step: step } = JSON.parse(known.__sampling__.method_name).frames;
    if (step) return { count: NUM_FRAMES, note: `The model was trained on one of every ${step} frames, which a browser ` +
      `cannot find; ${NUM_FRAMES} frames were sent.` };
    return { count: Number.isInteger(frames) && frames > 0 ? frames : NUM_FRAMES, note: "" };
  } catch {
    return { count: NUM_FRAMES, note: "" }; // other exports, and those of version 0.1
  }
}

// Outputs by name; a single one comes without its name.
async function predict(signature, name, inputs) {
  const { outputs } = await ask(`${modelPath()}:predict`, { signature_name: name, inputs });
  const names = Object.keys(signature.outputs);
  return names.length === 1 ? { [names[0]]: outputs } : outputs;
}

async function base64(blob) {
  const url = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
  return { b64: url.slice(url.indexOf(",") + 1) };
}

async function show(file) {
  const job = ++running;
  $("result").hidden = true;
  say(`${file.name} …`);
  try {
    const known = await signatures();
    if (!known.serving_default) throw new Error("The model has no signature serving_default.");
    const start = performance.now();
    const result = await (isVideo(known.serving_default.inputs) ? classifyVideo : classifyImage)(file, known);
    if (job !== running) return; // another file was dropped meanwhile
    result.seconds = (performance.now() - start) / 1000;
    render(result);
    say(result.note || "");
    await findNeighbours(job, result.inputs, file);
  } catch (error) {
    if (job === running) say(error.message, true);
  }
}

async function classifyImage(file, known) {
  const name = Object.keys(known.serving_default.inputs)[0];
  const inputs = { [name]: [await base64(file)] };
  const outputs = await predict(known.serving_default, "serving_default", inputs);
  if (outputs.valid && !outputs.valid[0]) throw new Error("The server could not decode the image.");
  const map = await explain(known, inputs);
  return { inputs, outputs, pictures: [await drawable(file)], heatMaps: map ? [map] : [], times: [0], curves: [] };
}

async function classifyVideo(file, known) {
  const { inputs, pictures, times, unit, note } = await videoInputs(file, known);
  const outputs = await predict(known.serving_default, "serving_default", inputs);
  if (outputs.valid && !outputs.valid[0]) throw new Error("The server could not decode the frames.");
  const alone = await framesAlone(known, inputs, pictures.length);
  const map = await explain(known, inputs);
  return {
    inputs,
    outputs,
    pictures,
    heatMaps: map && rank(map) === 3 && map.length === pictures.length ? map : [],
    times,
    unit,
    note,
    curves: alone ? curves(outputs, alone.scores) : [],
  };
}

// Frames as the browser decodes them; as the server does where the browser cannot, or the model takes optical flow.
async function videoInputs(file, known) {
  const takesFlow = "flow_frames" in known.serving_default.inputs;
  if (!takesFlow && file.type.startsWith("image/")) {
    return framesOf([{ picture: await drawable(file), blob: file, time: 0 }], "");
  }
  if (!takesFlow) {
    try {
      const { count, note } = sampling(known);
      return await framesOf(await videoFrames(file, count), note);
    } catch (error) {
      if (!error.isOfPlaying) throw error;
    }
  }
  say(`${file.name}: the server decodes it …`);
  const { inputs, seconds } = await ask(`${modelPath()}:frames`, file);
  const shown = (inputs.frames || inputs.flow_frames)[0];
  const pictures = await Promise.all(shown.map(async ({ b64 }) => {
    const bytes = Uint8Array.from(atob(b64), (letter) => letter.charCodeAt(0));
    return drawable(new Blob([bytes]));
  }));
  const times = shown.map((_, i) => (seconds ? seconds * (i + 0.5) / shown.length : i + 1));
  const note = inputs.frames ? "" : "The pictures are optical flow: red is motion to the right, green down, gray none.";
  return { inputs, pictures, times, unit: seconds ? " s" : "", note };
}

async function framesOf(frames, note) {
  const encoded = await Promise.all(frames.map((frame) => base64(frame.blob)));
  return {
    inputs: { frames: [encoded], num_frames: [encoded.length] },
    pictures: frames.map((frame) => frame.picture),
    times: frames.map((frame) => frame.time),
    unit: " s",
    note,
  };
}

// Outputs for every frame by itself; null where the model takes unlike numbers of frames and of flow.
async function framesAlone(known, inputs, count) {
  const lists = Object.entries(inputs).filter(([, value]) => Array.isArray(value[0]));
  if (lists.some(([, [frames]]) => frames.length !== count)) return null;
  const single = lists.flatMap(([name, [frames]]) => [
    [name, frames.map((one) => [one])], [`num_${name}`, frames.map(() => 1)]]);
  return predict(known.serving_default, "serving_default", Object.fromEntries(single));
}

// The scores of every frame alone, for the best labels of the whole video.
function curves(outputs, scores) {
  const taken = new Set();
  return outputs.labels[0].slice(0, CURVES).map((label, i) => {
    const index = outputs.scores[0].findIndex((score, j) => score === outputs.label_scores[0][i] && !taken.has(j));
    taken.add(index);
    return { label, values: scores.map((row) => row[index]) };
  });
}

// Contributions to the best label; null where the model does not explain itself.
async function explain(known, inputs) {
  const signature = known.explain;
  if (!signature || Object.keys(signature.inputs).join() !== Object.keys(known.serving_default.inputs).join()) return null;
  const floats = Object.entries(signature.outputs).filter(
    ([, info]) => info.dtype === "DT_FLOAT" && (info.tensor_shape.dim || []).length !== 1);
  const names = floats.map(([name]) => name);
  if (!names.length) return null;
  const outputs = await predict(signature, "explain", inputs);
  const streams = names.filter((name) => name.endsWith("contributions")).sort((a, b) => a.length - b.length);
  if (!streams.length) streams.push(names[0]);
  // Of frames and of their flow together, where they are of the same places; else those of the frames.
  const parts = streams.map((name) => outputs[name][0])
    .reduce((sum, other) => (shape(sum) === shape(other) ? added(sum, other) : sum));
  return rank(parts) === 1 ? square(parts) : parts;
}

const shape = (value) => (Array.isArray(value) ? `${value.length},${shape(value[0])}` : "");
const added = (one, other) => (Array.isArray(one) ? one.map((value, i) => added(value, other[i])) : one + other);

const isVideo = (inputs) => "frames" in inputs || "flow_frames" in inputs;
const rank = (value) => (Array.isArray(value) ? 1 + rank(value[0]) : 0);

// Descriptors in a row are a square map where their number is a square.
function square(parts) {
  const side = Math.sqrt(parts.length);
  if (!Number.isInteger(side)) return null;
  return Array.from({ length: side }, (_, i) => parts.slice(i * side, (i + 1) * side));
}

async function drawable(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    return null; // a format that the server reads and the browser does not
  }
}

async function videoFrames(file, count) {
  const video = document.createElement("video");
  const url = URL.createObjectURL(file);
  try {
    video.muted = true;
    video.preload = "auto";
    video.src = url;
    await event(video, "loadeddata");
    if (!Number.isFinite(video.duration)) { // recorders leave the duration out; seeking to the end finds it
      video.currentTime = 1e9;
      await event(video, "seeked");
      video.currentTime = 0;
      await event(video, "seeked");
    }
    const duration = video.duration;
    const frames = [];
    for (let i = 0; i < count; i++) {
      const time = (duration * (i + 0.5)) / count;
      video.currentTime = time;
      await event(video, "seeked");
      frames.push({ time, ...(await grab(video)) });
    }
    return frames;
  } finally {
    URL.revokeObjectURL(url);
  }
}

function event(video, name) {
  return new Promise((resolve, reject) => {
    const failed = () => reject(Object.assign(new Error("This browser cannot play the video."), { isOfPlaying: true }));
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", failed, { once: true });
  });
}

async function grab(video) {
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, LONGEST_SIDE / Math.max(video.videoWidth, video.videoHeight));
  canvas.width = Math.max(1, Math.round(video.videoWidth * scale));
  canvas.height = Math.max(1, Math.round(video.videoHeight * scale));
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  return { picture: canvas, blob };
}

function render(result) {
  ({ pictures, heatMaps, times, unit = " s" } = result);
  const { labels, label_scores: scores, label_probabilities: shares, answer } = result.outputs;
  $("labels").replaceChildren(...(labels ? labels[0] : []).map((label, i) => {
    const item = document.createElement("li");
    const score = document.createElement("span");
    item.append(label, score);
    score.textContent = scores[0][i] === null ? "NaN" : signed(scores[0][i]);
    if (shares && shares[0][i] !== null) {
      score.title = `score ${score.textContent}`;
      score.textContent = percent(shares[0][i]);
    }
    return item;
  }));
  $("none").hidden = !answer || answer[0] !== "";
  $("meaning").textContent = shares ? "Probabilities, calibrated on training items." : "Decision values, not probabilities.";
  $("took").textContent = `${result.seconds.toFixed(2)} s.`;
  $("heat-label").textContent = labels ? labels[0][0] : "the best label";
  $("heat-switch").hidden = !heatMaps.length;
  const most = Number(largest(heatMaps).toPrecision(2)); // parts of a score are small numbers
  $("heat-most").textContent = `+${most}`;
  $("heat-least").textContent = `−${most}`;
  $("time").hidden = pictures.length < 2;
  $("frame").max = pictures.length - 1;
  $("frame").value = 0;
  $("curve-section").hidden = !result.curves.length || times.length < 2;
  if (!$("curve-section").hidden) drawCurves(result.curves);
  $("result").hidden = false;
  drawFrame();
}

const percent = (value) => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

function drawFrame() {
  const index = Number($("frame").value);
  paintPicture($("picture"), pictures[index]);
  $("seconds").textContent = unit ? times[index].toFixed(2) + unit : times[index];
  drawHeat(heatMaps[index]);
}

function paintPicture(canvas, picture) {
  canvas.width = picture ? picture.width : 320;
  canvas.height = picture ? picture.height : 320;
  if (picture) canvas.getContext("2d").drawImage(picture, 0, 0);
}

function drawHeat(map) {
  const canvas = $("heat");
  canvas.hidden = !map || !$("show-heat").checked;
  // One scale for all frames of a video, so that they can be compared.
  if (!canvas.hidden) paintHeat(canvas, map, largest(heatMaps));
}

// Where the scale ends: a single cell does not pale all others.
function largest(maps) {
  const sizes = maps.flat(Infinity).map(Math.abs).sort((a, b) => a - b);
  return sizes[Math.floor(PERCENTILE * (sizes.length - 1))] || sizes.at(-1) || 1;
}

// One pixel a descriptor, which the browser smooths; in the colours of keras-fvvae explain and of the reports.
function paintHeat(canvas, map, most) {
  canvas.width = map[0].length;
  canvas.height = map.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  map.flat().forEach((value, i) => {
    image.data.set(value > 0 ? POSITIVE : NEGATIVE, 4 * i);
    image.data[4 * i + 3] = OPACITY * Math.min(1, Math.abs(value) / most);
  });
  context.putImageData(image, 0, 0);
}

// Numbers at round steps, some four of them, within a range.
function ticks(low, high) {
  const rough = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  const at = Array.from({ length: count }, (_, i) => (first + i) * step);
  return { places: Math.max(0, -Math.floor(Math.log10(step))), at };
}

function drawCurves(lines) {
  const [width, height, left, bottom, top] = [600, 220, 44, 36, 8];
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  // The line of no decision is always there.
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const last = times.at(-1) || 1;
  const x = (time) => left + (width - left) * (time / last);
  const y = (value) => top + (height - bottom - top) * (1 - (value - low) / (high - low || 1));
  const scale = ticks(low, high), clock = ticks(0, last);
  const shapes = [
    ...scale.at.flatMap((value) => [
      element("line", { x1: left, x2: width, y1: y(value), y2: y(value) }),
      element("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" },
        value === 0 ? "0" : (value < 0 ? "−" : "+") + Math.abs(value).toFixed(scale.places)),
    ]),
    element("line", { x1: left, x2: width, y1: y(0), y2: y(0), class: "zero" }),
    ...clock.at.flatMap((time) => [
      element("line", { x1: x(time), x2: x(time), y1: height - bottom, y2: height - bottom + 4 }),
      element("text", { x: x(time), y: height - bottom + 16, "text-anchor": "middle" }, time.toFixed(clock.places)),
    ]),
    element("text", { x: (left + width) / 2, y: height - 2, "text-anchor": "middle" }, unit ? "seconds" : "frames"),
    ...lines.map((line, i) => element("polyline", {
      stroke: COLORS[i],
      points: line.values.map((value, j) => `${x(times[j])},${y(value ?? low)}`).join(" "),
    })),
  ];
  $("curve").replaceChildren(...shapes);
  $("legend").replaceChildren(...lines.map((line, i) => {
    const item = document.createElement("span");
    item.textContent = `■ ${line.label}`;
    item.style.color = COLORS[i];
    return item;
  }));
}

function element(name, attributes, text = "") {
  const result = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) result.setAttribute(key, value);
  result.textContent = text;
  return result;
}

function say(text, isError = false) {
  $("message").textContent = text;
  $("message").classList.toggle("error", isError);
}

async function start() {
  $("file").addEventListener("change", () => {
    if ($("file").files[0]) show($("file").files[0]);
    $("file").value = ""; // the same file may be chosen again
  });
  $("frame").addEventListener("input", () => { drawFrame(); drawMatch(); });
  $("show-heat").addEventListener("change", drawFrame);
  $("model").addEventListener("change", () => { $("result").hidden = true; });
  for (const name of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (dragged) => {
      dragged.preventDefault(); // anywhere on the page: the browser would leave it for the file
      $("drop").classList.toggle("over", name === "dragover");
      if (name === "drop" && dragged.dataTransfer.files[0]) show(dragged.dataTransfer.files[0]);
    });
  }
  try {
    indexes = await ask("/indexes.json");
    const names = await ask("/models.json");
    $("model").replaceChildren(...names.map((name) => new Option(name, name)));
    const wanted = new URLSearchParams(location.search).get("model");
    if (names.includes(wanted)) $("model").value = wanted;
  } catch (error) {
    say(error.message, true);
  }
}

start();
