// Two clips that loop in step, by one clock.
//
// Clips are VP8 in WebM: free of royalties, written by OpenCV's own wheels (which cannot write H.264) in a third of the
// time that VP9 takes, and played by every current browser, Safari from 16 on Macs and 17.4 on phones. Where a browser
// says it cannot play it, or fails to, the clip's film strip stands in: one PNG of all frames, drawn on a canvas.
import { element } from "./dom.js";

const LOOP_PAUSE_MS = 400; // on the last frame, so that the end is seen to be one
export const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 3];
const START_MS = 4_000; // some phones load videos only when they are played
const RETRY_MS = [700, 1_500, 3_000, 5_000]; // and then again and again
const N_DAMAGED = 3; // tries of a picture that came and cannot be read

const asStrips = new Set(); // clips whose video broke off: a strip is whole before it is shown
let canPlay = null; // whether this browser plays such videos, and by themselves

/**
 * One clip: `ready` becomes true once its first frame can be painted, false if nothing of it can be shown. onFail is
 * called where it was ready and cannot be shown any longer; another of the same clip then can.
 */
export class Clip {
  constructor(facts, onFail) {
    this.facts = facts;
    this.onFail = onFail;
    this.isClosed = false;
    this.duration = facts.n_frames / facts.frame_rate;
    this.element = element("div.screen");
    this.view = null;
    this.ready = this.load();
  }

  async load() {
    canPlay ??= Boolean(document.createElement("video").canPlayType('video/webm; codecs="vp8"'));
    if (canPlay && !asStrips.has(this.facts.clip_id)) {
      this.view = new VideoView(this.facts, (error) => this.fail(error));
      this.element.append(this.view.element);
      if (await this.view.loaded) return true;
      this.view.close();
    }
    if (this.isClosed) return false;
    this.view = new StripView(this.facts);
    this.element.replaceChildren(this.view.element);
    return this.view.loaded;
  }

  /** Of a video that was ready: `error` is that of playing it, or null where the rest of it did not come. */
  fail(error) {
    if (error === null) asStrips.add(this.facts.clip_id);
    else if (error.name === "NotAllowedError") canPlay = false; // phones that save power play no video by themselves
    else return;
    if (!this.isClosed) this.onFail();
  }

  /** Whether it is a video where none may play by itself. */
  get isVain() {
    return !canPlay && this.view instanceof VideoView;
  }

  close() {
    this.isClosed = true;
    this.view?.close();
  }
}

class VideoView {
  constructor(facts, onFail) {
    this.facts = facts;
    this.onFail = onFail;
    const video = element("video", { playsinline: true, preload: "auto", disablepictureinpicture: true, tabindex: "-1" });
    video.muted = true;
    video.src = facts.video;
    this.element = this.video = video;
    this.loaded = this.load();
  }

  load() {
    const { video } = this;
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        video.play().then(() => video.pause(), () => resolve(false));
      }, START_MS);
      let isLoaded = false;
      const settle = (is) => {
        clearTimeout(timer);
        isLoaded = is;
        resolve(is);
      };
      video.addEventListener("loadeddata", () => settle(true), { once: true });
      video.addEventListener("error", () => (isLoaded ? this.onFail?.(null) : settle(false)));
      video.load();
    });
  }

  restart(speed) {
    this.video.currentTime = 0;
    this.play(speed);
  }

  play(speed) {
    this.video.playbackRate = speed;
    this.video.play().catch((error) => this.onFail?.(error));
  }

  follow(time, speed) {
    const { video } = this;
    const lag = time - video.currentTime;
    if (video.seeking || video.ended) return;
    if (Math.abs(lag) > Math.max(0.15, 2 / this.facts.frame_rate)) video.currentTime = time;
    const rate = speed * Math.min(1.25, Math.max(0.8, 1 + 2 * lag));
    if (Math.abs(rate - video.playbackRate) > 0.04) video.playbackRate = rate;
  }

  seek(time) {
    this.video.pause();
    this.video.currentTime = time;
  }

  close() {
    this.onFail = null;
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.load(); // gives the decoder back
  }
}

class StripView {
  constructor(facts) {
    this.facts = facts;
    this.element = element("canvas", { width: facts.width, height: facts.height });
    if (facts.height < 240) this.element.className = "pixels";
    this.context = this.element.getContext("2d");
    this.drawn = -1;
    this.isClosed = false;
    this.loaded = this.load();
  }

  /** Tries until the server itself says that there is no such picture, or gives one that cannot be read. */
  async load() {
    for (let attempt = 0, nDamaged = 0; !this.isClosed && nDamaged < N_DAMAGED; attempt += 1) {
      const data = await this.fetch(nDamaged ? "reload" : "default");
      if (data === null) return false;
      if (data !== undefined) {
        try {
          this.strip = await createImageBitmap(data);
          this.draw(0);
          return true;
        } catch { // damaged, here or on the way
          nDamaged += 1;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
    }
    return false;
  }

  /** The picture; null where there is none, undefined where the server could not be asked. */
  async fetch(cache) {
    try {
      const response = await fetch(this.facts.strip, { credentials: "same-origin", cache });
      const kind = response.headers.get("content-type") ?? "";
      if (response.status === 404 && kind.startsWith("application/json")) return null;
      return response.ok && kind.startsWith("image/") ? await response.blob() : undefined;
    } catch {
      return undefined;
    }
  }

  draw(time) {
    const { n_frames, frame_rate, width, height, columns } = this.facts;
    const frame = Math.min(n_frames - 1, Math.max(0, Math.floor(time * frame_rate + 1e-6)));
    if (frame === this.drawn) return;
    this.drawn = frame;
    const x = (frame % columns) * width;
    const y = Math.floor(frame / columns) * height;
    this.context.drawImage(this.strip, x, y, width, height, 0, 0, width, height);
  }

  restart() { this.draw(0); }
  play() {}
  follow(time) { this.draw(time); }
  seek(time) { this.draw(time); }
  close() {
    this.isClosed = true;
    this.strip?.close();
  }
}

/** Plays the clips it is given, all at the same time in the same second. */
export class Playback {
  constructor(onChange) {
    this.onChange = onChange;
    this.clips = [];
    this.isPlaying = true;
    this.speedIndex = SPEEDS.indexOf(1);
    this.time = 0;
    this.holdUntil = null;
    this.before = null;
    requestAnimationFrame((now) => this.tick(now));
  }

  get speed() {
    return SPEEDS[this.speedIndex];
  }

  get duration() {
    return Math.max(0, ...this.clips.map((clip) => clip.duration));
  }

  show(clips) {
    this.clips = clips;
    this.isPlaying = true;
    this.restart();
    this.onChange();
  }

  restart() {
    this.time = 0;
    this.holdUntil = null;
    for (const clip of this.clips) clip.view?.restart(this.speed);
  }

  toggle() {
    this.isPlaying = !this.isPlaying;
    if (!this.isPlaying) this.seek(this.time);
    else if (this.holdUntil !== null || this.time >= this.duration) this.restart();
    else for (const clip of this.clips) clip.view?.play(this.speed);
    this.onChange();
  }

  step(n) {
    this.isPlaying = false;
    const rate = this.clips[0]?.facts.frame_rate ?? 1;
    const last = Math.max(0, Math.round(this.duration * rate) - 1);
    const frame = Math.min(last, Math.floor(this.time * rate + 1e-6));
    this.seek((Math.min(last, Math.max(0, frame + n)) + 0.5) / rate); // the middle of a frame, so that no rounding shows another
    this.onChange();
  }

  changeSpeed(by) {
    this.speedIndex = Math.min(SPEEDS.length - 1, Math.max(0, this.speedIndex + by));
    this.onChange();
  }

  seek(time) {
    this.time = time;
    this.holdUntil = null;
    for (const clip of this.clips) clip.view?.seek(Math.min(time, clip.duration - 1e-3));
    this.paintBars();
  }

  tick(now) {
    const passed = Math.min(100, now - (this.before ?? now)) / 1000;
    this.before = now;
    if (this.isPlaying && this.clips.length) this.advance(now, passed * this.speed);
    requestAnimationFrame((later) => this.tick(later));
  }

  advance(now, passed) {
    if (this.holdUntil !== null) {
      if (now >= this.holdUntil) this.restart();
      return;
    }
    this.time += passed;
    if (this.time >= this.duration) {
      this.time = this.duration;
      this.holdUntil = now + LOOP_PAUSE_MS / this.speed;
    }
    for (const clip of this.clips) clip.view?.follow(this.time, this.speed);
    this.paintBars();
  }

  paintBars() {
    for (const clip of this.clips) {
      if (clip.bar) clip.bar.style.transform = `scaleX(${Math.min(1, this.time / clip.duration)})`;
    }
  }
}
