/** The pages that exist, in the order of the sidebar. */
export const pages = [
  'overview',
  'lag',
  'events',
  'verify',
  'backfill',
  'cache',
  'audit',
  'settings',
] as const;
export type Page = (typeof pages)[number];

function isPage(text: string | undefined): text is Page {
  return pages.some((page) => page === text);
}

/** Where the window is: a page, and what is opened on it (`#/verify/rejected/Product2`). */
export class Router {
  page = $state<Page>('overview');
  /** What follows the page in the address. */
  rest = $state.raw<string[]>([]);

  constructor() {
    this.#read();
    addEventListener('hashchange', () => this.#read());
  }

  go(page: Page, ...rest: string[]): void {
    location.hash = addressOf(page, ...rest);
  }

  #read(): void {
    const [page, ...rest] = location.hash.replace(/^#\/?/, '').split('/').map(decodeURIComponent);
    this.page = isPage(page) ? page : 'overview';
    this.rest = rest;
  }
}

/** The address of a page, for links. */
export function addressOf(page: Page, ...rest: string[]): string {
  return `#/${[page, ...rest].map(encodeURIComponent).join('/')}`;
}
