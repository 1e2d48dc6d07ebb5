export type Theme = 'system' | 'light' | 'dark';
export type TextSize = '100' | '125';

const KEY = 'shadow-sync.appearance';

interface Saved {
  theme: Theme;
  textSize: TextSize;
  singleKeys: boolean;
}

function read(): Partial<Saved> {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Saved>;
  } catch {
    return {};
  }
}

/** How the window looks to this person on this machine; kept by the webview. */
export class Appearance {
  theme = $state<Theme>('system');
  textSize = $state<TextSize>('100');
  /** Whether single letters act (WCAG 2.1.4 asks that they can be switched off). */
  singleKeys = $state(true);

  #dark = matchMedia('(prefers-color-scheme: dark)');
  #systemIsDark = $state(this.#dark.matches);
  isDark = $derived(this.theme === 'system' ? this.#systemIsDark : this.theme === 'dark');

  constructor() {
    const saved = read();
    if (saved.theme) this.theme = saved.theme;
    if (saved.textSize) this.textSize = saved.textSize;
    if (saved.singleKeys !== undefined) this.singleKeys = saved.singleKeys;
    this.#dark.addEventListener('change', () => (this.#systemIsDark = this.#dark.matches));
  }

  /** Shows the choices on the document and keeps them. Called from an effect. */
  apply(): void {
    document.documentElement.dataset.theme = this.isDark ? 'dark' : 'light';
    document.documentElement.style.setProperty('--text-scale', this.textSize === '125' ? '1.25' : '1');
    const saved: Saved = { theme: this.theme, textSize: this.textSize, singleKeys: this.singleKeys };
    localStorage.setItem(KEY, JSON.stringify(saved));
  }
}
