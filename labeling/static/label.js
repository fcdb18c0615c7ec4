// The labeling page: pairs come in ahead of time, answers go out in order, and neither waits for the other.
import { $, ask, isSameRun, newId } from "./dom.js";
import { Playback } from "./clips.js";
import { REPEATING, actionOf } from "./keys.js";
import { Outbox } from "./outbox.js";
import { Pair } from "./pair.js";
import { paint as paintPage, paintHelp, paintPlayback, speak } from "./view.js";
import * as words from "./words.js";

const MOST_IDS = 64; // in one list that is sent
const AHEAD = 3; // pairs loaded beside the one on the screen
const GIVEN = 50; // answers that this page can take back without asking the server which they were
const DOUBLE_CLICK_MS = 300;
const GONE = "That pair was answered elsewhere, given to somebody else, or taken out meanwhile.";
const BREAK_AFTER_MS = 25 * 60_000;
const REST_MS = 3 * 60_000; // who has not answered for this long has had a break
const KEEP_LEASES_MS = 10 * 60_000; // of someone who does nothing; then others may have their pairs
const STATE_MS = 20_000; // between two looks at how things are; leases live several times as long
const DEAF_MS = 700; // of a pair that came where another went by itself: a key pressed by then was meant for that one

const page = {
  state: null, // what the server last said
  outbox: null,
  current: null, // the pair on the screen
  ahead: [], // pairs that come next
  given: [], // what was answered here, newest last: { labelId, offer, choice }
  isStopped: false,
  failed: null, // { status, error } of the last request for pairs, where it got none
  deafUntil: 0, // no answer is taken before, by the page's own clock
  note: null, // a line to read that is no trouble of the outbox's
};
const answered = new Set(); // queries answered here and not taken back
const unplayable = new Set(); // queries whose pictures are whole, but not for this browser
const latencies = []; // from key or click to the next pair painted, in ms
const playback = new Playback(() => paintPlayback(playback));
let isAsking = false;
let askedAt = -Infinity;
let askAgainAt = -Infinity;
let activeAt = performance.now(); // of the last sign of anybody at all
let answeredAt = performance.now(); // of the last answer or undo
let sessionFrom = null;
let wasTaken = false; // whether a pair went from the screen by itself, and none has come in its place yet
let pressedAt = null;
let pointerAt = -Infinity;
let wanted = null; // the pair taken back last: no other is shown while it loads

// For tests and for the curious.
window.prefrl = { latencies, page };

// --- pairs ---

const held = () => (page.current ? [page.current, ...page.ahead] : page.ahead);
const paint = () => paintPage(page);

/** Whether somebody left a pair on the screen and has gone; who waits for one is not away, however long it takes. */
function isAway() {
  if (page.current === null && !page.isStopped) return false;
  return performance.now() - Math.max(activeAt, page.current?.shownAt.now ?? 0) > KEEP_LEASES_MS;
}

/** Asks for as many pairs as are missing; that also keeps the held ones from others, and brings the news. */
async function refill() {
  if (isAsking) return;
  isAsking = true;
  askedAt = performance.now();
  const away = isAway();
  const unsent = page.outbox.entries().map((entry) => entry.body.query_id);
  const pairs = held();
  const hold = away ? [] : [...new Set([...pairs.map((pair) => pair.id), ...unsent])].filter(Boolean);
  const n = away || page.isStopped ? 0 : Math.max(0, 1 + AHEAD - pairs.length);
  const { status, data } = await ask("/api/next", { n, hold: hold.slice(0, MOST_IDS), avoid: [...unplayable].slice(-MOST_IDS) });
  isAsking = false;
  askAgainAt = performance.now() + (away ? STATE_MS : 2_000);
  page.failed = status === 200 && data.state ? null : { status, error: data.error };
  if (page.failed === null) {
    if (!isSameRun(data.state.run)) return location.reload();
    page.state = data.state;
    const isSettled = page.outbox.entries().length === 0; // else the server may not know yet what was answered
    if (isSettled && unsent.length === 0) dropGone(pairs, data.gone);
    const fresh = data.offers.filter(({ query_id: id }) => !held().some((pair) => pair.id === id) && (isSettled || !answered.has(id)));
    for (const offer of fresh) addPair(offer);
    if (!away) askAgainAt = fresh.length < n ? performance.now() + (page.current ? 4_000 : 1_500) : -Infinity;
    page.outbox.flush();
  }
  step();
}

/** Lets go of pairs that are somebody else's by now, as after a night of this computer. */
function dropGone(pairs, gone) {
  for (const pair of pairs) {
    if (gone.includes(pair.id) && held().includes(pair)) letGo(pair, GONE);
  }
}

/** Takes a pair away; the one on the screen with a word, and no key that was meant for it answers the next. */
function letGo(pair, why) {
  if (page.current === pair) {
    playback.show([]);
    page.current = null;
    page.note = why;
    wasTaken = true;
  }
  page.ahead = page.ahead.filter((other) => other !== pair);
  pair.close();
}

function addPair(offer) {
  const known = held().find((pair) => pair.id === offer.query_id);
  if (known) return known;
  const pair = new Pair(offer, $("stage"), loadAgain);
  page.ahead.push(pair);
  pair.settled.then(() => (pair.state === "broken" ? dropBroken(pair) : step()));
  return pair;
}

/** Of a pair that was ready and cannot be played on: half of it must not be answered. */
function loadAgain(failed) {
  for (const pair of held().filter((one) => one === failed || one.isVain)) {
    letGo(pair, "A clip stopped playing: its pair is loaded again.");
    addPair(pair.offer);
  }
  step();
}

async function dropBroken(pair) {
  if (!held().includes(pair)) return;
  letGo(pair);
  const { status, data } = await ask("/api/damaged", { query_id: pair.id });
  if (status === 200 && data.withdrawn) say("A pair could not be shown: its pictures are damaged, and it was taken out.");
  else if (status === 200 && data.is_drawn) {
    unplayable.add(pair.id);
    say("A pair could not be shown in this browser, and was left out.");
  }
  step();
}

/** Shows the next pair if none is on the screen, and fetches more where some are missing. */
function step() {
  if (page.current === null && !page.isStopped && !(page.ahead.includes(wanted) && wanted.state === "loading")) {
    const i = page.ahead.findIndex((pair) => pair.state === "ready");
    if (i >= 0) showPair(page.ahead.splice(i, 1)[0]);
  }
  paint();
  if (held().length <= AHEAD && !page.isStopped && performance.now() >= askAgainAt) refill();
}

async function showPair(pair) {
  const pressed = pressedAt;
  page.current = pair;
  playback.show(pair.clips);
  const paintedAt = await pair.show();
  if (page.current === pair && wasTaken) {
    page.deafUntil = paintedAt + DEAF_MS;
    wasTaken = false;
  }
  if (pressed !== null) latencies.push(paintedAt - pressed);
}

function putBack() {
  if (page.current === null) return;
  playback.show([]);
  page.current.hide();
  page.ahead.unshift(page.current);
  page.current = null;
}

// --- answers ---

function answer(choice) {
  const pair = page.current;
  if (pair === null || !pair.isPainted || page.isStopped || performance.now() < page.deafUntil) return;
  const labelId = newId();
  page.given = [...page.given, { labelId, offer: pair.offer, choice }].slice(-GIVEN);
  answered.add(pair.id);
  page.outbox.add("/api/answer", {
    label_id: labelId,
    query_id: pair.id,
    choice,
    shown_at_utc_ms: pair.shownAt.utc,
    answered_at_utc_ms: Date.now(),
    ms_on_screen: Math.round(performance.now() - pair.shownAt.now),
  });
  playback.show([]);
  pair.hide();
  page.current = null;
  page.note = null;
  markAnswered();
  step();
  pair.close();
  speak(`${words.answered(choice)}. ${page.current ? "Next pair." : ""}`);
}

function undo() {
  if (page.outbox === null || page.isStopped) return;
  const last = page.given.pop();
  page.outbox.add("/api/undo", { new_label_id: newId(), label_id: last?.labelId ?? null });
  markAnswered();
  if (last) bringBack(last.offer);
  speak("Taken back.");
}

/** Puts a pair on the screen again, and what was there right behind it. The server shows it the same way round. */
function bringBack(offer) {
  answered.delete(offer.query_id);
  if (page.current?.id === offer.query_id) return;
  putBack();
  const pair = (wanted = addPair(offer));
  page.ahead = [pair, ...page.ahead.filter((other) => other !== pair)];
  for (const extra of page.ahead.splice(2 + AHEAD)) extra.close(); // videos need memory; the server offers them again
  step();
}

function acked(entry, data) {
  if (page.failed?.status === 0) page.failed = null;
  if (data.you) page.state.you = data.you;
  if (entry.path !== "/api/undo" || entry.body.label_id !== null) return;
  if (data.offer === null) say(data.undone ? "Taken back: that pair comes again soon." : "There is nothing to take back.");
  else bringBack(data.offer); // answered before this page was loaded, so only the server knew which
}

function refused(entry) {
  page.given = page.given.filter((one) => one.labelId !== entry.body.label_id);
}

/** Of every sign of somebody; who has been away asks at once which pairs are still theirs. */
function wake() {
  const wasAway = isAway();
  activeAt = performance.now();
  if (wasAway) refill();
}

function markAnswered() {
  const now = performance.now();
  if (sessionFrom === null || now - answeredAt > REST_MS) sessionFrom = now;
  answeredAt = now;
  if (now - sessionFrom > BREAK_AFTER_MS) {
    page.note = "That was 25 minutes in one go. A short break keeps answers good; everything is kept meanwhile.";
    sessionFrom = now;
  }
}

function say(text) {
  page.note = text;
  paint();
}

// --- keys and buttons ---

const ACTIONS = {
  left: answer,
  right: answer,
  equal: answer,
  skip: answer,
  undo,
  play: () => playback.toggle(),
  back: () => playback.step(-1),
  forward: () => playback.step(1),
  slower: () => playback.changeSpeed(-1),
  faster: () => playback.changeSpeed(1),
  help: () => ($("help").open ? $("help").close() : $("help").showModal()),
  escape: () => $("help").close(),
  quit: () => stop(true),
};

function act(action, at) {
  pressedAt = at;
  ACTIONS[action](action);
  pressedAt = null;
}

function stop(isNow) {
  page.isStopped = isNow;
  if (isNow) putBack();
  step();
}

function onKey(event) {
  const action = actionOf(event);
  const isOnButton = document.activeElement?.matches("button:focus-visible, a:focus-visible");
  if (event.repeat && isOnButton && (event.key === "Enter" || event.key === " ")) event.preventDefault();
  if (action === null || (isOnButton && event.key === " ")) return; // Space presses the button
  if ($("help").open ? action !== "help" && action !== "escape" : action === "escape") return;
  event.preventDefault(); // arrows would scroll, Backspace leave the page
  if (!event.repeat || REPEATING.has(action)) act(action, event.timeStamp);
}

function onClick(event) {
  const action = event.currentTarget.dataset.do;
  const isByPointer = event.detail > 0;
  if (isByPointer) {
    event.currentTarget.blur(); // else Space would press it again
    const isAgain = event.detail > 1 || event.timeStamp - pointerAt < DOUBLE_CLICK_MS;
    if (ACTIONS[action] === answer && isAgain) return; // a double click is one answer, not two
    pointerAt = event.timeStamp;
  }
  act(action, event.timeStamp);
}

function dismiss() {
  page.outbox.dismiss(page.outbox.refusals());
  say(null);
}

function listen() {
  for (const kind of ["keydown", "pointerdown", "pointermove"]) addEventListener(kind, wake, { capture: true, passive: true });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    wake();
    refill(); // leases run out while nobody looks
  });
  addEventListener("keydown", onKey);
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", onClick);
  $("stage").addEventListener("click", () => playback.toggle());
  $("pause-go").addEventListener("click", () => stop(false));
  $("banner-ok").addEventListener("click", dismiss);
  addEventListener("offline", () => {
    page.failed = { status: 0 };
    paint();
  });
  addEventListener("online", refill);
  setInterval(() => {
    if (document.hidden) return;
    if (performance.now() - askedAt > (page.failed === null ? STATE_MS : 2_000)) refill();
    else step();
  }, 500);
}

async function start() {
  const { status, data } = await ask("/api/state");
  if (status !== 200 || !data.run) {
    const why = words.whyRefused({ status, error: data.error }, 0);
    $("pause").hidden = false;
    $("pause-title").textContent = why.title;
    $("pause-text").textContent = why.text;
    setTimeout(start, 2_000);
    return;
  }
  isSameRun(data.run);
  page.state = data;
  page.outbox = new Outbox(`${data.run}:${data.name}`, ask, { acked, refused, changed: paint });
  listen();
  page.outbox.flush();
  refill();
}

paintHelp();
start();
