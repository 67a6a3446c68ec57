"use strict";

// Frames of a video that are sent where the model does not tell, as the paper samples them, and the longest side they are
// sent with.
const NUM_FRAMES = 25;
const LONGEST_SIDE = 640;
const CURVES = 3;
const COLORS = ["#1c7ed6", "#e8590c", "#2f9e44"];
const $ = (id) => document.getElementById(id);

let heatMaps = [];
let pictures = [];
let times = [];
let running = 0;

async function ask(path, body) {
  const options = body && { method: "POST", body: JSON.stringify(body) };
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
    if (step) return { count: NUM_FRAMES, note: `The model was trained on one of every ${step} frames, which a browser cannot ` +
      `find; ${NUM_FRAMES} frames were sent.` };
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
    const isVideo = "frames" in known.serving_default.inputs;
    const result = await (isVideo ? classifyVideo : classifyImage)(file, known);
    if (job !== running) return; // another file was dropped meanwhile
    result.seconds = (performance.now() - start) / 1000;
    render(result);
    say(isVideo ? sampling(known).note : "");
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
  const frames = file.type.startsWith("image/")
    ? [{ picture: await drawable(file), blob: file, time: 0 }]
    : await videoFrames(file, sampling(known).count);
  const encoded = await Promise.all(frames.map((frame) => base64(frame.blob)));
  const inputs = { frames: [encoded], num_frames: [encoded.length] };
  const outputs = await predict(known.serving_default, "serving_default", inputs);
  if (outputs.valid && !outputs.valid[0]) throw new Error("The server could not decode the frames.");
  const single = { frames: encoded.map((one) => [one]), num_frames: encoded.map(() => 1) };
  const alone = await predict(known.serving_default, "serving_default", single);
  const map = await explain(known, inputs);
  return {
    inputs,
    outputs,
    pictures: frames.map((frame) => frame.picture),
    heatMaps: map && rank(map) === 3 ? map : [],
    times: frames.map((frame) => frame.time),
    curves: curves(outputs, alone.scores),
  };
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
  const name = names.includes("contributions") ? "contributions" : names[0];
  if (!name) return null;
  const parts = (await predict(signature, "explain", inputs))[name][0];
  return rank(parts) === 1 ? square(parts) : parts;
}

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
    const failed = () => reject(new Error("This browser cannot play the video. Convert it to MP4 or WebM."));
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
  ({ pictures, heatMaps, times } = result);
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
  $("time").hidden = pictures.length < 2;
  $("frame").max = pictures.length - 1;
  $("frame").value = 0;
  $("curve-section").hidden = times.length < 2;
  if (times.length > 1) drawCurves(result.curves);
  $("result").hidden = false;
  drawFrame();
}

const percent = (value) => `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %`;
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);

function drawFrame() {
  const index = Number($("frame").value);
  paintPicture($("picture"), pictures[index]);
  $("seconds").textContent = `${times[index].toFixed(2)} s`;
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

const largest = (maps) => maps.flat(Infinity).reduce((max, value) => Math.max(max, Math.abs(value)), 0) || 1;

// One pixel a descriptor, which the browser smooths; red speaks for the label, blue against it.
function paintHeat(canvas, map, most) {
  canvas.width = map[0].length;
  canvas.height = map.length;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  map.flat().forEach((value, i) => {
    image.data.set(value > 0 ? [224, 49, 49] : [25, 113, 194], 4 * i);
    image.data[4 * i + 3] = 200 * Math.abs(value) / most;
  });
  context.putImageData(image, 0, 0);
}

function drawCurves(lines) {
  const [width, height, left, bottom] = [600, 200, 40, 20];
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const x = (time) => left + (width - left) * (time / (times.at(-1) || 1));
  const y = (value) => (height - bottom) * (1 - (value - low) / (high - low || 1));
  const shapes = [
    element("line", { x1: left, x2: width, y1: y(low), y2: y(low) }),
    element("line", { x1: left, x2: width, y1: y(high), y2: y(high) }),
    element("text", { x: 0, y: y(low) }, signed(low)),
    element("text", { x: 0, y: y(high) + 8 }, signed(high)),
    element("text", { x: left, y: height }, "0 s"),
    element("text", { x: width, y: height, "text-anchor": "end" }, `${times.at(-1).toFixed(1)} s`),
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
