// Answers and undos that the server has not acknowledged, kept in the browser in the order they were given.
//
// Each has an id of its own, so that sending it again stores nothing twice. Each is an entry of its own in localStorage,
// so that two tabs never overwrite each other's.
import { newId } from "./dom.js";

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;
const ORPHAN_MS = 10_000; // then what another tab left is sent by this one
const TRY_AGAIN = new Set([0, 401, 403, 408, 421, 425, 429]); // and all from 500 on; everything else is final

export class Outbox {
  /** owner: whose answers, to which run. ask(path, body): see dom.js. events: acked, refused, changed. */
  constructor(owner, ask, events) {
    this.prefix = `prefrl:${owner}:`;
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
    const keys = this.store.keys().filter((key) => key.startsWith(this.prefix)).sort();
    return keys.map((key) => ({ key, ...JSON.parse(this.store.getItem(key)) }));
  }

  add(path, body) {
    this.lastTime = Math.max(this.lastTime + 1, Date.now());
    const key = this.prefix + String(this.lastTime).padStart(15, "0") + ":" + newId().slice(0, 8);
    const value = JSON.stringify({ path, body, tab: this.tab, time: this.lastTime });
    try {
      this.store.setItem(key, value);
    } catch { // the browser's space is used up: memory still holds it until the page is closed
      MEMORY.adopt(this.store);
      this.store = MEMORY;
      this.store.setItem(key, value);
    }
    this.events.changed();
    this.flush();
  }

  flushNow() {
    this.retryMs = FIRST_RETRY_MS;
    this.flush();
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
        if (TRY_AGAIN.has(status) || status >= 500) {
          this.failed = { status, error: data.error };
          this.timer = setTimeout(() => this.flush(), this.retryMs);
          this.retryMs = Math.min(2 * this.retryMs, LAST_RETRY_MS);
          return;
        }
        this.store.removeItem(entry.key);
        this.failed = null;
        this.retryMs = FIRST_RETRY_MS;
        if (status === 200) this.events.acked(entry, data);
        else this.events.refused(entry, data.error ?? `status ${status}`);
        this.events.changed();
      }
      this.failed = null;
      if (this.entries().length) this.timer = setTimeout(() => this.flush(), ORPHAN_MS);
    } finally {
      this.isSending = false;
      this.events.changed();
    }
  }

  next() {
    return this.entries().find((entry) => entry.tab === this.tab || this.isOrphan(entry));
  }

  isOrphan({ key, time }) {
    if (!this.seenAt.has(key)) this.seenAt.set(key, performance.now());
    return time < Date.now() - ORPHAN_MS || performance.now() - this.seenAt.get(key) >= ORPHAN_MS;
  }
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
