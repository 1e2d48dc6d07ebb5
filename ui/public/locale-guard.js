// WebKitGTK reports the language "C" where the process has no locale, and Intl refuses that tag.
// This runs before the bundle, as a file of its own because the content security policy allows no inline script.
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, 'language', { value: 'en-US', configurable: true });
  Object.defineProperty(navigator, 'languages', { value: ['en-US'], configurable: true });
}
