/** Elements of the page. */

/** The element with this id. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element ${id}`);
  return found as T;
}

/** A new element. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** A choice of a list. */
export function option(value: string, text: string): HTMLOptionElement {
  return make("option", { value, textContent: text });
}

/** Calls `act` when the button is pressed. */
export function onClick(id: string, act: () => void): void {
  element(id).addEventListener("click", act);
}

/** Offers a file to be saved. */
export function save(content: BlobPart, type: string, name: string): void {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })) });
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** As `#rrggbb`. */
export function hexColour(rgb: readonly number[]): string {
  return `#${rgb.map((v) => v.toString(16).padStart(2, "0")).join("")}`;
}

/** From `#rrggbb`. */
export function rgbColour(hex: string): [number, number, number] {
  const n = Number.parseInt(hex.slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}
