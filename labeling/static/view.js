// Puts what the page knows onto the page. It decides nothing.
import { $, element, write } from "./dom.js";
import { HELP } from "./keys.js";
import * as words from "./words.js";

/** page: { state, outbox, current, ahead, given, isStopped, failed, note }, see label.js. */
export function paint(page) {
  paintBanner(page);
  paintPause(page);
  paintLast(page);
  for (const button of document.querySelectorAll(".answer")) {
    button.setAttribute("aria-disabled", String(page.current === null)); // not disabled: that would lose the focus
  }
  if (page.state !== null) paintState(page.state, page.outbox);
}

export function paintPlayback(playback) {
  write($("play-sign"), playback.isPlaying ? "❚❚" : "▶");
  $("play").setAttribute("aria-label", playback.isPlaying ? "Pause" : "Play");
  write($("speed"), `${playback.speed}×`);
}

export function paintHelp() {
  for (const [keys, does] of HELP) {
    const caps = keys.flatMap((key) => [element("kbd", {}, key), " "]);
    $("help-keys").append(element("tr", {}, element("th", { scope: "row" }, ...caps), element("td", {}, does)));
  }
}

/** For those who listen. */
export function speak(text) {
  $("spoken").textContent = text;
}

function paintBanner({ state, outbox, failed, note }) {
  const trouble = outbox === null ? null : words.banner(state, outbox, failed);
  const refused = outbox === null ? null : words.refused(outbox.refusals());
  const text = [trouble, refused, trouble === null && refused === null ? note : null].filter(Boolean).join(" ");
  $("banner").hidden = text === "";
  $("banner").classList.toggle("trouble", trouble !== null || refused !== null);
  write($("banner-text"), text);
  $("banner-ok").hidden = trouble !== null && refused === null;
}

function paintPause({ state, outbox, current, ahead, isStopped, failed }) {
  $("pause").hidden = current !== null;
  $("pause-go").hidden = !isStopped;
  let why = { title: "One moment", text: "" };
  if (current !== null) why = {};
  else if (isStopped) why = words.stopped(outbox);
  else if (ahead.length) why = { title: "Loading the next pair", text: "" };
  else if (outbox !== null) why = words.whyWaiting(state, outbox, failed);
  document.body.classList.toggle("ended", Boolean(why.isEnd));
  if (current !== null) return;
  write($("pause-title"), why.title);
  write($("pause-text"), why.text);
}

function paintLast({ given, outbox }) {
  const last = given.at(-1);
  const isSaved = last && !outbox.entries().some((entry) => entry.body.label_id === last.labelId);
  $("last").className = last ? `last ${last.choice} ${isSaved ? "saved" : "sending"}` : "last";
  write($("last"), last ? `${isSaved ? "✓ saved" : "… sending"}: ${words.answered(last.choice)}` : "");
}

function paintState(state, outbox) {
  const unsent = outbox === null ? [] : outbox.entries();
  const pending = unsent.reduce((sum, entry) => sum + (entry.path === "/api/answer" ? 1 : -1), 0);
  write($("mine"), String(Math.max(0, state.you.n_answered + pending)));
  write($("pace"), words.pace(state));
  write($("run"), words.run(state));
  write($("agent"), words.agent(state));
  const share = state.total_labels ? Math.min(1, state.n_labels / state.total_labels) : 0;
  $("bar").style.transform = `scaleX(${share})`;
  write($("title"), state.title || "prefrl");
  write($("task"), state.task || "Which clip is better?");
  write($("help-task"), state.task);
  $("help-task").hidden = !state.task;
  $("to-progress").hidden = !state.is_operator;
  document.title = state.task ? `${state.task} · prefrl` : "prefrl: which clip is better?";
}
