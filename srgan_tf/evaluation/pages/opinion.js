"use strict";
const { test, calibration, trials } = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const WORDS = ["bad", "poor", "fair", "good", "excellent"];
const GIVEN = ["This is a 1: bad.", "This is a 5: excellent."];
let session = null, order = [], at = 0, shownAt = 0, ready = false, loads = 0;

// The seed of the test and the rater's name determine the order: different for every rater, the same after a pause.
function generator(text) {
  let state = 2166136261;
  for (const unit of new TextEncoder().encode(text)) state = Math.imul(state ^ unit, 16777619); // FNV-1a
  return () => { // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
function shuffled(items, random) {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}

const store = (rater) => `srgan_tf opinion test ${test.id} ${rater}`;
function keep() {
  try { localStorage.setItem(store(session.rater), JSON.stringify(session)); }
  catch { /* a browser that keeps nothing: the answers live as long as the page */ }
}
function kept(rater) {
  try { return JSON.parse(localStorage.getItem(store(rater))); }
  catch { return null; }
}

function show(name) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== name;
  $("missing").hidden = true;
  window.scrollTo(0, 0);
}

// Whether the picture is shown: not if it cannot be loaded, nor if another one has replaced it in the meantime.
async function load(image, file) {
  const number = ++loads;
  image.classList.add("waiting");
  image.src = file;
  let loaded = true;
  try { await image.decode(); } catch { loaded = false; }
  if (number !== loads) return false;
  image.classList.toggle("waiting", !loaded);
  $("missing").hidden = loaded;
  return loaded;
}

function begin(event) {
  event.preventDefault();
  const rater = $("rater").value.trim();
  if (!rater) return;
  session = kept(rater) || { format: test.format, test, rater, started: new Date().toISOString(), answers: [] };
  order = shuffled(trials, generator(`${test.seed}/${rater}`));
  at = session.answers.length;
  if (at) present(); // after a pause, without the calibration
  else calibrate(0);
}

async function calibrate(step) {
  show("calibration");
  $("calibration-count").textContent = `${step + 1} of 2`;
  $("calibration-text").textContent = GIVEN[step];
  $("understood").onclick = () => (step ? present() : calibrate(1));
  $("understood").disabled = true;
  if (!await load($("calibration-image"), calibration[step].file)) return;
  $("understood").disabled = false;
  $("understood").focus();
}

async function present() {
  if (at >= order.length) return finish();
  show("rating");
  ready = false;
  buttons();
  const trial = order[at];
  $("count").textContent = `${at + 1} of ${order.length}`;
  $("progress").max = order.length;
  $("progress").value = at;
  $("back").disabled = at === 0;
  $("pause").disabled = session.answers.length === 0;
  if (!await load($("image"), trial.file)) return;
  const share = shownShare();
  $("size").textContent = share < 0.99 ? `shown at ${Math.round(100 * share)} %: a wider screen is better` : "";
  ready = true;
  shownAt = performance.now();
  buttons();
  if (at + 1 < order.length) new Image().src = order[at + 1].file;
}
const shownShare = () => $("image").clientWidth / order[at].width;

function buttons() {
  const given = session.answers[at]?.score;
  for (const button of $("scores").children) {
    button.disabled = !ready;
    button.classList.toggle("chosen", Number(button.value) === given);
  }
}

function rate(score) {
  if (!ready) return;
  const { set, picture, method } = order[at];
  session.answers[at] = {
    set, picture, method, score, seconds: Math.round(performance.now() - shownAt) / 1000,
    shown: Math.round(1000 * shownShare()) / 1000, pixel_ratio: window.devicePixelRatio,
  };
  at += 1;
  keep();
  present();
}
function back() {
  if (at === 0) return;
  at -= 1;
  present();
}

function finish() {
  session.finished = new Date().toISOString();
  keep();
  show("finished");
  $("summary").textContent = `You rated ${session.answers.length} pictures.`;
  $("save").focus();
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${JSON.stringify(session, null, 1)}\n`], { type: "application/json" }));
  link.download = `opinion_${session.rater.replace(/[^\p{L}\p{N}]+/gu, "-")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const minutes = Math.max(1, Math.round(trials.length / 12));
$("amount").textContent = `${trials.length} pictures, about ${minutes} ${minutes === 1 ? "minute" : "minutes"}.`;
const tallest = Math.max(...trials.map((trial) => trial.height));
document.documentElement.style.setProperty("--tallest", `min(${tallest}px, max(40vh, 100vh - 290px))`);
const widest = Math.max(...trials.map((trial) => trial.width));
document.documentElement.style.setProperty("--widest", `${widest}px`);
for (const [i, word] of WORDS.entries()) {
  const button = Object.assign(document.createElement("button"), { value: String(i + 1) });
  button.append(Object.assign(document.createElement("b"), { textContent: String(i + 1) }),
    Object.assign(document.createElement("span"), { textContent: word }));
  button.addEventListener("click", () => rate(i + 1));
  $("scores").append(button);
}
$("begin").addEventListener("submit", begin);
$("back").addEventListener("click", back);
$("again").addEventListener("click", back);
$("pause").addEventListener("click", save);
$("save").addEventListener("click", save);
document.addEventListener("keydown", (event) => {
  if ($("rating").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (/^[1-5]$/.test(event.key)) rate(Number(event.key));
  else if (event.key === "Backspace") back();
  else return;
  event.preventDefault();
});
show("welcome");
$("rater").focus();
