// A picture with a dark twin names both; which is shown follows the button of the page, not the system alone.
function follow() {
  const theme = document.body.dataset.theme;
  const media = { dark: 'all', light: 'not all' }[theme] ?? '(prefers-color-scheme: dark)';
  for (const source of document.querySelectorAll('picture source')) source.media = media;
}
addEventListener('DOMContentLoaded', () => {
  follow();
  new MutationObserver(follow).observe(document.body, { attributeFilter: ['data-theme'] });
});

// What can only be scrolled with a pointer gets the keyboard's focus, while it is wider than its place.
const WIDE = 'pre, picture, .table-wrapper, .output_subarea > div, .math-wrapper, div.math';
function focusable() {
  for (const part of document.querySelectorAll(WIDE)) {
    if (part.scrollWidth > part.clientWidth + 1) part.tabIndex = 0;
    else part.removeAttribute('tabindex');
  }
}
addEventListener('load', focusable);
addEventListener('resize', focusable);
addEventListener('DOMContentLoaded', () => {
  document.querySelector('.sidebar-drawer')?.setAttribute('aria-label', 'All pages');
  document.querySelector('.toc-drawer')?.setAttribute('aria-label', 'On this page');
});
