// What the page says: why nothing is to be seen, how far everything is, what became of answers.
import { steps } from "./dom.js";

const ASIDE = { left: "left is better", right: "right is better", equal: "equally good", skip: "can’t tell" };
const UPRIGHT = { ...ASIDE, left: "top is better", right: "bottom is better" };
const isUpright = matchMedia("(max-aspect-ratio: 1/1)"); // as in label.css
export const answered = (choice) => (isUpright.matches ? UPRIGHT : ASIDE)[choice];

const count = (n, one, many) => (n === 1 ? `1 ${one}` : `${n} ${many}`);
export const answers = (n) => count(n, "answer", "answers");

/** Why there is no pair to be seen: { title, text, isEnd }. failed: of the last request for pairs, as in label.js. */
export function whyWaiting(state, outbox, failed) {
  const kept = outbox.entries().length;
  if (failed === null && (outbox.failed?.status === 0 || outbox.failed?.status === 401)) failed = outbox.failed;
  if (failed?.status === 429) failed = null; // a second later it is through
  if (failed !== null && !isClosed(state, failed)) return whyRefused(failed, kept);
  if (state === null) return whyRefused({ status: 0 }, kept);
  if (failed === null && state.trouble) return { title: "Clips cannot be drawn just now", text: state.trouble };
  const mine = state.you.n_answered;
  const thanks = mine ? `Thank you: the agent learned from ${answers(mine)} of yours.` : "Thank you for coming.";
  if (failed === null && state.n_waiting > 0) { // also of a run that has ended or stopped, for as long as its page is served
    return { title: "Drawing the next pair", text: `${count(state.n_waiting, "pair is", "pairs are")} on the way.` };
  }
  if (state.agent?.state === "ended") return { title: "The run has ended", text: kept ? left(kept) : thanks, isEnd: true };
  if (state.total_labels > 0 && state.n_labels >= state.total_labels) {
    return { title: "All answers are in", text: `${thanks} The agent goes on with what it has learned.`, isEnd: true };
  }
  if (state.agent === null) return { title: "The agent has not started yet", text: "Pairs come as soon as it has something to show." };
  if (state.agent.state === "stopped") {
    const safe = kept ? left(kept) : "Your answers are safe.";
    return { title: "Training has stopped", text: `${safe} Pairs come again when it is started again.` };
  }
  if (state.agent.state === "waiting") {
    if (state.n_with_others === 0) return { title: "The agent is choosing new pairs", text: "They come by themselves." };
    return {
      title: "Now it is the others’ turn",
      text: "The agent waits for answers to pairs that you have answered or others have before them. New ones come by themselves.",
    };
  }
  return {
    title: "The agent is practising",
    text: `It tries out what it has learned (${steps(state.agent.steps)} steps so far). New pairs come by themselves.`,
  };
}

const left = (kept) => `${answers(kept)} kept here, sent when the page is served again.`;

/** Whether the page went because the training did, which said so before: that is no trouble. */
function isClosed(state, failed) {
  return failed.status === 0 && ["ended", "stopped"].includes(state?.agent?.state);
}

/** Why the server gives nothing: { title, text }. */
export function whyRefused({ status, error }, kept) {
  const here = kept ? `${answers(kept)} kept here` : null;
  if (status === 401) return { title: "Please open your link again", text: here ? `${here} until then.` : "" };
  const why = error ? `${error[0].toUpperCase()}${error.slice(1)}. ` : "";
  if (status === 0) {
    const text = here ? `${here}, sent as soon as there is a connection.` : "Trying again by itself.";
    return { title: "No connection to the server", text: why + text };
  }
  const text = `${here ? `${here}, sent as soon as it does. ` : ""}Trying again by itself.`;
  return { title: "The server gives no pairs just now", text: (why || `Status ${status}. `) + text };
}

/** What the server refused for good and nobody has dismissed; null where nothing was. */
export function refused(refusals) {
  if (refusals.length === 0) return null;
  const what = refusals.length === 1 ? "An answer" : `${refusals.length} answers`;
  return `${what} could not be stored: ${[...new Set(refusals.map(({ error }) => error))].join("; ")}`;
}

/** What somebody sees who has stopped. */
export function stopped(outbox) {
  const kept = outbox.entries().length;
  const text = kept
    ? `${answers(kept)} still to be sent: please leave the page open.`
    : "All your answers are saved. You can close this page, and go on at any time with your link.";
  return { title: "Stopped for now", text, isEnd: true };
}

/** What the line above the clips says while answers wait to be sent; null where none is needed. */
export function banner(state, outbox, askFailed) {
  const kept = outbox.entries().length;
  const failed = outbox.failed ?? askFailed;
  if (failed === null || failed.status === 429 || (kept === 0 && isClosed(state, failed))) { // a second later it is through
    return outbox.isDurable ? null : "This browser keeps nothing: leave this page open until all answers are saved.";
  }
  const off = failed.error ? `Offline (${failed.error})` : "Offline";
  if (failed.status === 0 && kept === 0) return `${off}: trying again. What you answer is kept here and sent later.`;
  const what = kept === 1 ? "1 answer kept here, will be sent" : `${kept} answers kept here, will be sent`;
  if (failed.status === 0) return `${off}: ${what}.`;
  if (failed.status === 401) return `Your link is no longer valid: ${answers(kept)} kept here. Open your link again.`;
  if (kept === 0) return `The server gives no pairs just now (${failed.error ?? failed.status}): trying again.`;
  if (failed.status === 507) return `The server’s disk is full: ${what}.`;
  return `The server cannot take answers just now (${failed.error ?? failed.status}): ${what}.`;
}

export function pace(state) {
  const { per_minute: perMinute } = state.you;
  return perMinute > 0 ? `${perMinute.toFixed(perMinute < 10 ? 1 : 0)} a minute` : "";
}

export function run(state) {
  if (!state.total_labels) return answers(state.n_labels);
  const left = state.total_labels - state.n_labels;
  const minutes = state.you.per_minute > 0 && left > 0 ? Math.ceil(left / state.you.per_minute) : null;
  const time = minutes === null ? "" : minutes > 90 ? `, about ${Math.round(minutes / 60)} h left` : `, about ${minutes} min left`;
  return `${state.n_labels} of ${state.total_labels} answers${time}`;
}

export function agent(state) {
  if (state.agent === null) return "";
  const { steps: done, total_steps: total, state: doing } = state.agent;
  const words = { training: "training", waiting: "waiting for answers", ended: "done", stopped: "stopped" };
  return `agent: ${steps(done)} of ${steps(total)} steps, ${words[doing] ?? doing}`;
}
