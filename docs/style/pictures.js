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
