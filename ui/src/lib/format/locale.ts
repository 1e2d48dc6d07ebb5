/** The reader's locale. `locale-guard.js` has made sure that Intl accepts it. */
export const locale: string = globalThis.navigator?.language || 'en-US';
