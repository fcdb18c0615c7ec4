// Making elements. All text goes through textContent, so that names and tasks can only ever be text.
export const $ = (id) => document.getElementById(id);

/** element("p.quiet", { title: "..." }, "text", otherElement) */
export function element(kind, attributes = {}, ...children) {
  const [name, ...classes] = kind.split(".");
  const made = document.createElement(name);
  if (classes.length) made.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children); // strings become text nodes
  return made;
}

/** Sets text only where it differs, so that screen readers do not hear it again. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function steps(n) {
  if (n >= 1e6) return `${(n / 1e6).toFixed(n >= 1e7 ? 0 : 1)}M`;
  if (n >= 1e4) return `${Math.round(n / 1e3)}k`;
  return `${n}`;
}

let run = null;

/** Whether the server still serves the run that this page was opened for; all that is sent says which that is. */
export function isSameRun(id) {
  run ??= id;
  return run === id;
}

/**
 * One request to the server: its status and JSON, or status 0 where it cannot be reached. Proxies, login portals and
 * maintenance pages answer in its place, with any status: what is no JSON object is none of the server's answers.
 */
export async function ask(path, body) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), 20_000);
  const options = { signal: limit.signal, credentials: "same-origin" };
  if (body !== undefined) {
    Object.assign(options, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  }
  if (body !== undefined && run !== null) options.headers["X-Prefrl-Run"] = run;
  try {
    const response = await fetch(path, options);
    const data = await response.json().catch(() => null);
    if (data === null || typeof data !== "object") {
      return { status: 0, data: { error: `something else answers in its place, status ${response.status}` } };
    }
    return { status: response.status, data };
  } catch {
    return { status: 0, data: {} };
  } finally {
    clearTimeout(timer);
  }
}

export function newId() {
  // Not crypto.randomUUID: browsers have it only over https and on localhost.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
