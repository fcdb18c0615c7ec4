// Answers and undos that the server has not acknowledged, kept in the browser in the order they were given.
//
// Each has an id of its own, so that sending it again stores nothing twice. Each is an entry of its own in localStorage,
// so that two tabs never overwrite each other's.
import { newId } from "./dom.js";

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;
const ORPHAN_MS = 10_000; // then what another tab left is sent by this one
const FINAL = new Set([400, 409, 415]); // with an error of the server's own words; all else may be somebody in its place

export class Outbox {
  /** owner: whose answers, to which run. ask(path, body): see dom.js. events: acked, refused, changed. */
  constructor(owner, ask, events) {
    this.prefix = `prefrl:${owner}:`;
    this.refusedPrefix = `prefrl-refused:${owner}:`;
    this.ask = ask;
    this.events = events;
    this.store = openStorage();
    this.tab = tabId();
    this.seenAt = new Map(); // entries of other tabs, by the clock that is never set
    this.lastTime = Math.max(0, ...this.entries().map((entry) => entry.time)); // a clock set back must not change the order
    this.isSending = false;
    this.failed = null; // status of the last try, while it keeps things waiting
    this.retryMs = FIRST_RETRY_MS;
    this.timer = null;
    addEventListener("online", () => this.flushNow());
  }

  get isDurable() {
    return this.store !== MEMORY;
  }

  /** Everything that waits, oldest first. */
  entries() {
    return this.read(this.prefix);
  }

  /** What the server refused for good and nobody has dismissed yet, oldest first; each has its `error`. */
  refusals() {
    return this.read(this.refusedPrefix);
  }

  /** Forgets refusals that were read. */
  dismiss(refusals) {
    for (const { key } of refusals) this.store.removeItem(key);
    this.events.changed();
  }

  read(prefix) {
    const keys = this.store.keys().filter((key) => key.startsWith(prefix)).sort();
    return keys.map((key) => ({ key, ...JSON.parse(this.store.getItem(key)) }));
  }

  add(path, body) {
    this.lastTime = Math.max(this.lastTime + 1, Date.now());
    const key = this.prefix + String(this.lastTime).padStart(15, "0") + ":" + newId().slice(0, 8);
    this.keep(key, JSON.stringify({ path, body, tab: this.tab, time: this.lastTime }));
    this.events.changed();
    this.flush();
  }

  keep(key, value) {
    try {
      this.store.setItem(key, value);
    } catch { // the browser's space is used up: memory still holds it until the page is closed
      MEMORY.adopt(this.store);
      this.store = MEMORY;
      this.store.setItem(key, value);
    }
  }

  flushNow() {
    this.retryMs = FIRST_RETRY_MS;
    return this.flush();
  }

  /** Sends what waits, one after the other, until all is stored or the server cannot be reached. */
  async flush() {
    if (this.isSending) return;
    this.isSending = true;
    clearTimeout(this.timer);
    try {
      let entry;
      while ((entry = this.next()) !== undefined) {
        const { status, data } = await this.ask(entry.path, entry.body);
        const isStored = status === 200 && isAcknowledged(data);
        const isRefused = FINAL.has(status) && typeof data.error === "string";
        if (!isStored && !isRefused) {
          this.failed = { status, error: data.error };
          this.timer = setTimeout(() => this.flush(), this.retryMs);
          this.retryMs = Math.min(2 * this.retryMs, LAST_RETRY_MS);
          return;
        }
        if (isRefused) this.refuse(entry, data.error);
        this.store.removeItem(entry.key);
        this.failed = null;
        this.retryMs = FIRST_RETRY_MS;
        if (isStored) this.events.acked(entry, data);
        else this.events.refused(entry);
        this.events.changed();
      }
      this.failed = null;
      if (this.entries().length) this.timer = setTimeout(() => this.flush(), ORPHAN_MS);
    } finally {
      this.isSending = false;
      this.events.changed();
    }
  }

  /** Keeps what was refused to be read. */
  refuse({ key, path, body }, error) {
    this.keep(this.refusedPrefix + key.slice(this.prefix.length), JSON.stringify({ path, body, error }));
  }

  next() {
    return this.entries().find((entry) => entry.tab === this.tab || this.isOrphan(entry));
  }

  isOrphan({ key, time }) {
    if (!this.seenAt.has(key)) this.seenAt.set(key, performance.now());
    return time < Date.now() - ORPHAN_MS || performance.now() - this.seenAt.get(key) >= ORPHAN_MS;
  }
}

/** Whether that is what the server says once an answer or an undo is durable. */
function isAcknowledged(data) {
  return Number.isInteger(data.seq) || typeof data.undone === "boolean";
}

function tabId() {
  try {
    const known = sessionStorage.getItem("prefrl:tab") ?? newId();
    sessionStorage.setItem("prefrl:tab", known);
    return known;
  } catch {
    return newId();
  }
}

function openStorage() {
  try {
    localStorage.setItem("prefrl:probe", "");
    localStorage.removeItem("prefrl:probe");
    return {
      getItem: (key) => localStorage.getItem(key),
      setItem: (key, value) => localStorage.setItem(key, value),
      removeItem: (key) => localStorage.removeItem(key),
      keys: () => Object.keys(localStorage),
    };
  } catch { // private windows and strict settings
    return MEMORY;
  }
}

const MEMORY = {
  items: new Map(),
  getItem: (key) => MEMORY.items.get(key) ?? null,
  setItem: (key, value) => MEMORY.items.set(key, value),
  removeItem: (key) => {
    MEMORY.items.delete(key);
    MEMORY.other?.removeItem(key);
  },
  keys: () => [...MEMORY.items.keys()],
  adopt(other) {
    for (const key of other.keys()) MEMORY.items.set(key, other.getItem(key));
    MEMORY.other = other;
  },
};
