// What each key does. The same table is in labeling/keys.py for the window; a test compares the two.
export const KEYS = {
  "ArrowLeft": "left", "1": "left", "a": "left",
  "ArrowRight": "right", "2": "right", "d": "right",
  "ArrowUp": "equal", "0": "equal", "e": "equal", "w": "equal",
  "ArrowDown": "skip", "s": "skip",
  "Backspace": "undo", "u": "undo",
  " ": "play", ",": "back", ".": "forward", "[": "slower", "]": "faster",
  "h": "help", "?": "help", "q": "quit", "Escape": "escape",
};

// Held keys do nothing again, but for these.
export const REPEATING = new Set(["back", "forward"]);

// Keys by their place, for layouts whose letters are others (Cyrillic, Greek, ...) or whose digits need Shift.
const PLACES = { Comma: ",", Period: ".", BracketLeft: "[", BracketRight: "]", Space: " " };
// The number pad's digits count as what is printed on them, whatever Num Lock makes of them.
const PAD = { Numpad0: "0", Numpad1: "1", Numpad2: "2" };

export const HELP = [
  [["←", "1", "A"], "The first clip (left, or top) is better"],
  [["→", "2", "D"], "The second clip (right, or bottom) is better"],
  [["↑", "0", "E", "W"], "Both are equally good"],
  [["↓", "S"], "Can’t tell: skip this pair"],
  [["Backspace", "U"], "Take the last answer back and see its pair again"],
  [["Space"], "Pause, or play on"],
  [[",", "."], "One frame back, one frame forward"],
  [["[", "]"], "Slower, faster"],
  [["H", "?"], "Show or hide this help"],
  [["Q"], "Stop for now"],
];

/** The action of a keydown event, or null. What is printed on the key counts first, its place second. */
export function actionOf(event) {
  const isAltGr = event.getModifierState?.("AltGraph");
  if (event.metaKey || ((event.ctrlKey || event.altKey) && !isAltGr)) return null; // the browser's own
  if (event.isComposing) return null;
  const pad = PAD[event.code];
  if (pad) return KEYS[pad];
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (Object.hasOwn(KEYS, key)) return KEYS[key];
  if (/^[a-z]$/.test(key)) return null; // a Latin letter that means nothing
  const place = PLACES[event.code] ?? /^(?:Key|Digit)(.)$/.exec(event.code ?? "")?.[1].toLowerCase();
  return place && Object.hasOwn(KEYS, place) ? KEYS[place] : null;
}
