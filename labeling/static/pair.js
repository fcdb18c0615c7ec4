// A pair of clips, loaded and painted out of sight before it is wanted, so that it can be shown at once.
import { element } from "./dom.js";
import { Clip } from "./clips.js";

export class Pair {
  /**
   * state: "loading", "ready" or "broken" (nothing of one of its clips can be shown). onFail(pair): called where it was
   * ready, and one of its clips can be shown no longer.
   */
  constructor(offer, stage, onFail) {
    this.offer = offer;
    this.id = offer.query_id;
    this.state = "loading";
    this.isPainted = false;
    this.shownAt = null;
    this.clips = [offer.left, offer.right].map((facts) => new Clip(facts, () => onFail(this)));
    const sides = [["first", "1", "Left", "Top"], ["second", "2", "Right", "Bottom"]];
    const figures = this.clips.map((clip, i) => figure(clip, ...sides[i]));
    this.element = element("div.pair", { "aria-hidden": "true", "data-query": this.id }, ...figures);
    stage.append(this.element);
    this.settled = Promise.all(this.clips.map((clip) => clip.ready)).then((areReady) => {
      this.state = areReady.every(Boolean) ? "ready" : "broken";
    });
  }

  /** Whether it would fail as soon as it is played. */
  get isVain() {
    return this.clips.some((clip) => clip.isVain);
  }

  /** Makes it the one that is seen. */
  show() {
    this.element.classList.add("seen");
    this.element.removeAttribute("aria-hidden");
    this.isPainted = false;
    delete this.element.dataset.painted;
    this.shownAt = { utc: Date.now(), now: performance.now() };
    return new Promise((resolve) => {
      afterPaint(() => {
        this.isPainted = true;
        this.element.dataset.painted = "";
        resolve(performance.now());
      });
    });
  }

  hide() {
    this.element.classList.remove("seen");
    this.element.setAttribute("aria-hidden", "true");
  }

  close() {
    for (const clip of this.clips) clip.close();
    this.element.remove();
  }
}

function figure(clip, name, number, wide, tall) {
  clip.bar = element("i");
  const caption = element(
    "figcaption", {}, element("b", {}, number), " ", element("span.wide", {}, wide), element("span.tall", {}, tall),
  );
  const screen = element("div.frame", { role: "img", "aria-label": `Clip ${number}` }, clip.element);
  return element(`figure.clip.${name}`, {}, caption, screen, element("div.time", { "aria-hidden": "true" }, clip.bar));
}

/** Calls back when what is on the page now has been painted. */
function afterPaint(callBack) {
  requestAnimationFrame(() => {
    const channel = new MessageChannel(); // its message comes after the frame that is being made
    channel.port1.onmessage = callBack;
    channel.port2.postMessage(null);
  });
}
