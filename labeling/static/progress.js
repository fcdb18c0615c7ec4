// The operator's page: who labels how much, how fast and how alike; what waits; how the agent does.
import { $, ask, element, steps, write } from "./dom.js";
import { curve, spark } from "./chart.js";

const REFRESH_MS = 5_000;
const CHOICES = ["left", "equal", "skip", "right"];
const NAMES = { left: "left", equal: "equal", skip: "can’t tell", right: "right" };
let shownVideo = null;

const percent = (share) => (share === null || share === undefined ? "–" : `${Math.round(100 * share)}%`);

function share(found) {
  return found && found.of ? `${percent(found.share)} of ${found.of}` : "–";
}

/** Whether half lies outside the interval: a lean to a side that chance hardly makes. */
const leans = (left) => left && left.low !== null && (left.low > 0.5 || left.high < 0.5);

function ago(seconds) {
  if (seconds < 20) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

function tile(name, value, more, part) {
  const made = element("div.tile", {}, element("div.name", {}, name), element("div.value", {}, value), element("div.more", {}, more));
  if (part !== undefined) {
    const bar = element("i");
    bar.style.transform = `scaleX(${Math.min(1, part)})`;
    made.append(element("div.meter", {}, bar));
  }
  return made;
}

/** What the count of answers leaves out: the agent asked for none of it. */
function besides({ n_undone: nUndone, n_repeats: nRepeats, imported }) {
  const nImported = imported.reduce((sum, one) => sum + one.n_answers, 0);
  const more = [[nUndone, "taken back"], [nRepeats, "asked again"], [nImported, "from other runs"]];
  return more.filter(([n], i) => n || i === 0).map(([n, what]) => `${n} ${what}`).join(", ");
}

function paintTiles({ statistics, state, queue, n_withdrawn: nWithdrawn }) {
  const { total_labels: total, n_labels: n, agent } = state;
  const all = statistics.on_screen;
  const active = statistics.labelers.filter((one) => one.n_answers > 0).length;
  const words = { training: "training", waiting: "waiting for answers", ended: "done", stopped: "stopped" };
  $("tiles").replaceChildren(
    tile("Answers", total ? `${n} / ${total}` : `${n}`, besides(statistics), total ? n / total : undefined),
    tile("People", `${active}`, `${statistics.labelers.length} invited or seen`),
    tile("Pace", all?.per_minute ? `${all.per_minute.toFixed(1)} / min` : "–", all?.median_seconds ? `${all.median_seconds.toFixed(1)} s a pair (median)` : ""),
    tile("Waiting", `${queue.waiting}`, `${queue.shown} with somebody, ${nWithdrawn} withdrawn`),
    tile("Alike again", percent(statistics.repeated.share), `${statistics.repeated.of} repeated pairs`),
    agent
      ? tile("Agent", steps(agent.steps), `of ${steps(agent.total_steps)} steps, ${words[agent.state] ?? agent.state}`, agent.steps / Math.max(1, agent.total_steps))
      : tile("Agent", "–", "not started yet"),
  );
}

function mixBar(counts) {
  const sum = CHOICES.reduce((total, choice) => total + (counts[choice] ?? 0), 0);
  const label = CHOICES.map((choice) => `${NAMES[choice]} ${counts[choice] ?? 0}`).join(", ");
  const bar = element("div.mix", { role: "img", "aria-label": label, title: label });
  for (const choice of CHOICES) {
    const part = element(`i.${choice}`);
    part.style.width = `${sum ? (100 * (counts[choice] ?? 0)) / sum : 0}%`;
    bar.append(part);
  }
  return bar;
}

function personRow(one, seconds) {
  const screen = one.on_screen;
  const seen = seconds ?? (one.last_answer_utc_ms ? (Date.now() - one.last_answer_utc_ms) / 1000 : null);
  const cells = one.n_answers === 0 && !one.n_by_choice
    ? ["0", "–", "–", "–", "–", "–", "–"]
    : [
        `${one.n_answers}`,
        screen?.per_minute ? screen.per_minute.toFixed(1) : "–",
        mixBar(one.n_by_choice),
        share(screen?.left),
        share(one.repeated),
        share(one.with_others),
        spark(one.by_time, `${one.labeler}’s answers over time`),
      ];
  const row = element("tr", {}, element("th", { scope: "row", title: one.labeler }, one.labeler), ...cells.map((cell) => element("td", {}, cell)));
  if (leans(screen?.left)) row.children[4].className = "flag";
  row.append(element("td", {}, seen === null ? "not yet" : ago(seen)));
  return row;
}

function table(node, heads, rows) {
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  node.replaceChildren(element("thead", {}, head), element("tbody", {}, ...rows));
}

function paintPeople({ statistics, seconds_since_seen: seen }) {
  const heads = ["Name", "Answers", "A minute", "Choices as displayed", "Picked left", "Alike again", "As others do", "Over time", "Last seen"];
  table($("people"), heads, statistics.labelers.map((one) => personRow(one, seen[one.labeler])));
}

function paintAgreement({ agreement }) {
  if (!agreement.n_queries) {
    write($("agreement"), "Nobody has answered the same pair as somebody else yet; --answers-per-query 2 makes them.");
    $("pairs").replaceChildren();
    return;
  }
  const alpha = agreement.alpha === null ? "" : ` Krippendorff’s alpha ${agreement.alpha.toFixed(2)} (1: always alike, 0: as by chance).`;
  write($("agreement"), `${agreement.n_labelers} people answered ${agreement.n_queries} pairs in common, ${share(agreement.same)} answers alike.${alpha}`);
  const rows = agreement.pairs.slice(0, 12).map((pair) => {
    const kappa = pair.kappa === null ? "–" : pair.kappa.toFixed(2);
    return element("tr", {}, element("th", { scope: "row" }, `${pair.first} and ${pair.second}`), element("td", {}, share(pair.same)), element("td", {}, kappa));
  });
  table($("pairs"), ["Two people", "Alike", "Cohen’s kappa"], rows);
}

function paintAgent({ video, state, curves }) {
  if (video === null) write($("agent"), "Its newest video appears here once it is drawn.");
  else if (video.clip_id !== shownVideo) {
    shownVideo = video.clip_id;
    const player = element("video", { src: video.video, controls: true, loop: true, playsinline: true, "aria-label": "What the agent did lately" });
    player.muted = true;
    player.autoplay = true;
    $("video").replaceChildren(player);
    write($("agent"), state.agent ? `What it did lately, up to step ${steps(state.agent.steps)}.` : "What it did lately.");
  }
  const drawn = Object.entries(curves).map(([title, points]) => curve(title, points));
  $("curves").replaceChildren(...(drawn.length ? drawn : [element("p.quiet", {}, "Curves appear once the agent has been evaluated.")]));
}

function paintWithdrawn({ withdrawn }) {
  const items = withdrawn.map(({ query_id: id, reason }) => element("li", {}, element("strong", {}, id), ` ${reason}`));
  $("withdrawn").replaceChildren(...(items.length ? items : [element("li", {}, "None.")]));
}

async function refresh() {
  const { status, data } = await ask("/api/progress");
  const why = status === 0 ? `No connection to the server${data.error ? ` (${data.error})` : ""}; trying again.` : data.error ?? `status ${status}`;
  const trouble = status === 200 ? data.state.trouble : why;
  $("trouble").hidden = !trouble;
  write($("trouble"), trouble ?? "");
  if (status === 200) {
    write($("title"), data.state.title || "prefrl");
    write($("task"), data.state.task || "Progress of all");
    paintTiles(data);
    paintPeople(data);
    paintAgent(data);
    paintAgreement(data.statistics);
    paintWithdrawn(data);
  }
  setTimeout(refresh, document.hidden ? 4 * REFRESH_MS : REFRESH_MS);
}

refresh();
