// SPDX-License-Identifier: Apache-2.0
// What a reader sees of the page, measured in the browser; the value of this expression is JSON.
(() => {
  const isVisible = element => element.getClientRects().length > 0;
  const all = selector => [...document.querySelectorAll(selector)].filter(isVisible);

  const parse = colour => {
    const [r, g, b, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
    return {rgb: [r, g, b], alpha};
  };
  // Contrast as WCAG 2 defines it: https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio
  const luminance = rgb => {
    const [r, g, b] = rgb.map(value => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const groundOf = element => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.alpha > 0) return colour.rgb;
    }
    return [255, 255, 255];
  };
  // Behind the number of a cell of a drawing lies the cell, which lets the ground shine through.
  const backgroundOf = element => {
    const ground = groundOf(element);
    const cell = element.tagName === 'text' && element.closest('g')?.querySelector('rect');
    if (!cell) return ground;
    const style = getComputedStyle(cell);
    const share = Number(style.fillOpacity);
    return parse(style.fill).rgb.map((value, i) => share * value + (1 - share) * ground[i]);
  };
  const texts = all('body *').filter(
      element => [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim() !== ''));
  const readings = texts.map(element => {
    const style = getComputedStyle(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    return {
      text: element.textContent.trim().slice(0, 40),
      contrast: contrast(ink.rgb, backgroundOf(element)),
      // Of drawings that are scaled, the size at which they are shown.
      size: parseFloat(style.fontSize) * (element instanceof SVGElement ? element.getScreenCTM().a || 1 : 1),
      rotated: element instanceof SVGElement && element.getScreenCTM().a < 0.1,
    };
  });
  const root = document.documentElement;
  return {
    width: root.clientWidth,
    scrollWidth: Math.max(root.scrollWidth, document.body.scrollWidth),
    isDark: luminance(groundOf(document.body)) < 0.2,
    texts: readings.length,
    lowestContrast: readings.reduce((a, b) => (a.contrast < b.contrast ? a : b)),
    smallestText: readings.filter(r => !r.rotated).reduce((a, b) => (a.size < b.size ? a : b)),
    resources: performance.getEntriesByType('resource').map(entry => entry.name),
    // Text of a drawing that its frame cuts, and text of the page that its box cuts.
    clipped: all('svg text').filter(text => {
      const box = text.getBoundingClientRect();
      const frame = text.ownerSVGElement.getBoundingClientRect();
      return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
    }).concat(all('th, td, li, figcaption, h1, h2').filter(
        element => element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== 'inline'))
        .map(element => element.textContent.trim().slice(0, 60)),
    // Names at the ends of lines that stand on each other.
    overlaps: all('svg').flatMap(svg => {
      const boxes = [...svg.querySelectorAll('text.series')].map(text => text.getBoundingClientRect());
      return boxes.filter((a, i) => boxes.slice(0, i).some(
          b => a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom)).map(box => box.top);
    }),
    loaders: document.querySelectorAll('script, link, img, iframe, object, embed, video, audio, use, image').length,
    headings: all('h1, h2').map(heading => heading.tagName + ' ' + heading.textContent),
    deadLinks: all('a').map(a => a.getAttribute('href'))
        .filter(href => !href.startsWith('#') || !document.getElementById(href.slice(1))),
    figures: all('figure').map(figure => ({
      drawings: [...figure.querySelectorAll('svg[role=img]')].filter(isVisible).map(svg => ({
        name: svg.getAttribute('aria-label'),
        right: svg.getBoundingClientRect().right,
      })),
      caption: figure.querySelector('figcaption')?.textContent ?? '',
    })),
    tables: all('table').map(table => ({
      caption: table.caption?.textContent ?? '',
      unscoped: [...table.querySelectorAll('th')].filter(th => !th.scope).length,
      box: table.closest('.scroll')?.tabIndex ?? -1,
    })),
  };
})()
