/** The page at /docs: reads openapi.json and lists it. Text is set as text: descriptions are no HTML. */
const html = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tandem API</title>
<style>
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
  h2 { margin: 2rem 0 .5rem; border-bottom: 1px solid #ccc }
  summary { cursor: pointer; padding: .2rem 0 }
  summary b { display: inline-block; width: 4.5rem; font-family: monospace }
  summary code { margin-right: 1rem }
  pre { background: #f5f5f5; padding: .6rem; overflow: auto; font-size: 13px }
  p.who { color: #666; margin: .3rem 0 }
</style>
<h1>Tandem API</h1>
<p id="about"></p>
<p>The same for machines: <a href="docs/openapi.json">openapi.json</a></p>
<main id="list"></main>
<noscript>The list is in openapi.json.</noscript>
<script src="docs/page.js"></script>
</html>
`;

const script = `'use strict';
const make = (tag, text, parent) => {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
};
const show = (title, value, parent) => {
  if (value === undefined) return;
  make('div', title, parent);
  make('pre', JSON.stringify(value, null, 2), parent);
};
const operation = (path, method, op, parent) => {
  const details = make('details', undefined, parent);
  const summary = make('summary', undefined, details);
  make('b', method.toUpperCase(), summary);
  make('code', path, summary);
  make('span', op.summary || '', summary);
  make('p', op.description, details).className = 'who';
  show('Parameters', op.parameters, details);
  show('Body', op.requestBody && op.requestBody.content, details);
  show('Answers', op.responses, details);
};
fetch('docs/openapi.json').then((answer) => answer.json()).then((api) => {
  document.getElementById('about').textContent = api.info.description;
  const list = document.getElementById('list');
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, op] of Object.entries(methods)) {
      const group = (op.tags && op.tags[0]) || (path.startsWith('/v') ? path.split('/')[1] : 'node');
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push([path, method, op]);
    }
  }
  for (const [group, operations] of groups) {
    make('h2', group, list);
    for (const [path, method, op] of operations) operation(path, method, op, list);
  }
});
`;

export const DOCS_PAGE = { html, script };
