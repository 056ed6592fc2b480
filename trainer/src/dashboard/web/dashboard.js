// Draws runs from /runs.json and /run/<folder>/data.json, and again every few seconds.

const PERIOD_MS = 4000;
const COLOURS = ['#3b82f6', '#f59e0b', '#10b981', '#ef4444', '#8b5cf6', '#ec4899', '#14b8a6', '#a3a322'];
const DASHES = { masked: [], total: [7, 4], visible: [2, 3], rotation: [1, 2], contrastive: [6, 2, 1, 2], inpainting: [], validation: [], 'Dice part': [], 'cross-entropy': [2, 3] };

const element = (id) => document.getElementById(id);
const make = (tag, text = '', fields = {}) =>
  Object.assign(document.createElement(tag), { textContent: text, ...fields });

/** Folders of the runs that are drawn; null until somebody chose. */
let chosen = null;
/** What is known of the drawn runs, by folder. */
const known = new Map();
let listed = [];
let hovered = null;

const address = (folder, file) =>
  '/run/' + [...folder.split('/'), ...file.split('/')].filter(Boolean).map(encodeURIComponent).join('/');

async function json(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

const drawn = () => listed.map((run) => run.folder).filter((folder) => chosen.has(folder));
const colour = (folder) => COLOURS[listed.findIndex((run) => run.folder === folder) % COLOURS.length];

function number(value, digits = 4) {
  if (value === null || value === undefined) return '–';
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2) : value.toLocaleString('en', { maximumFractionDigits: digits });
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s / 60) % 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s / 3600) % 24)} h`;
}

/** The table of runs. */
function table({ runs, differing }) {
  const columns = [
    ['state', (r) => r.state],
    ['step', (r) => `${number(r.step)} / ${number(r.steps)}`],
    ['loss', (r) => number(r.loss, 5)],
    ['masked', (r) => number(r.masked_loss, 5)],
    ['visible', (r) => number(r.visible_loss, 5)],
    ['validation', (r) => number(r.validation_loss, 5)],
    ['Dice', (r) => number(r.dice, 4)],
    ['samples/s', (r) => number(r.samples_per_s, 2)],
    ['waiting', (r) => (r.waiting === null ? '–' : `${Math.round(r.waiting * 100)} %`)],
    ['MiB', (r) => number(r.memory_mib, 0)],
    ['left', (r) => duration(r.left_s)],
    ['model', (r) => r.model],
    ['device', (r) => r.device],
    ...differing.map((name) => [name, (r) => setting(r.settings[name])]),
  ];
  const head = make('tr');
  head.append(make('th', 'run'), ...columns.map(([name]) => make('th', name)));
  const rows = runs.map((run) => {
    const row = make('tr');
    const box = make('input', '', { type: 'checkbox', checked: chosen.has(run.folder) });
    box.setAttribute('aria-label', `draw ${run.name}`);
    box.addEventListener('change', () => {
      if (box.checked) chosen.add(run.folder);
      else chosen.delete(run.folder);
      update();
    });
    const swatch = make('span', '', { className: 'swatch' });
    swatch.style.background = colour(run.folder);
    const name = make('td');
    name.append(box, swatch, run.name);
    name.title = run.folder;
    row.append(name, ...columns.map(([, of]) => make('td', of(run))));
    return row;
  });
  element('runs').replaceChildren(head, ...rows);
}

const setting = (value) =>
  value === null || value === undefined ? '–' : typeof value === 'string' ? value : JSON.stringify(value);

/** The Dice coefficients of validations: their mean, and each class where there are several. */
function dice({ validations }) {
  const steps = validations.map((v) => v.step);
  const names = Object.keys(validations.at(-1)?.classes ?? {});
  const classes = names.map((name) => [name, steps, validations.map((v) => v.classes?.[name] ?? null), true]);
  return [['mean', steps, validations.map((v) => v.dice ?? null), true], ...(names.length > 1 ? classes : [])];
}

/** The charts: a title, and the curves that a run has in it. */
const CHARTS = [
  {
    title: 'Loss',
    wide: true,
    loss: true,
    curves: (d) => [
      ['masked', d.steps.step, d.steps.masked_loss],
      ['total', d.steps.step, d.steps.loss],
      ['visible', d.steps.step, d.steps.visible_loss],
      ['rotation', d.steps.step, d.steps.rotation_loss],
      ['contrastive', d.steps.step, d.steps.contrastive_loss],
      ['inpainting', d.steps.step, d.steps.inpainting_loss],
      ['Dice part', d.steps.step, d.steps.dice_loss],
      ['cross-entropy', d.steps.step, d.steps.cross_entropy],
      ['validation', d.validations.map((v) => v.step), d.validations.map((v) => v.loss), true],
    ],
  },
  { title: 'Validation Dice', optional: true, curves: dice },
  { title: 'Samples a second', curves: (d) => [['', d.steps.step, d.steps.samples_per_s]] },
  {
    title: 'Share of the time spent waiting for samples',
    zero: true,
    curves: (d) => [['', d.steps.step, d.steps.waiting]],
  },
  { title: 'Memory, MiB', zero: true, curves: (d) => [['', d.steps.step, d.steps.memory_mib]] },
  { title: 'Learning rate', zero: true, exact: true, curves: (d) => [['', d.steps.step, d.steps.lr]] },
  { title: 'Gradient norm', curves: (d) => [['', d.steps.step, d.steps.grad_norm]] },
];

for (const chart of CHARTS) {
  const figure = make('figure', '', { className: chart.wide ? 'wide' : '' });
  chart.figure = figure;
  chart.caption = make('figcaption');
  chart.canvas = make('canvas');
  chart.canvas.setAttribute('role', 'img');
  figure.append(chart.caption, chart.canvas);
  element('charts').append(figure);
  chart.canvas.addEventListener('pointermove', (event) => {
    hovered = { chart, x: event.offsetX };
    drawAll();
  });
  chart.canvas.addEventListener('pointerleave', () => {
    hovered = null;
    drawAll();
  });
}

/** An exponential mean that starts without bias. */
function smoothed(values, weight) {
  let mean = 0;
  let sum = 0;
  return values.map((value) => {
    if (value === null || !Number.isFinite(value)) return null;
    mean = weight * mean + (1 - weight) * value;
    sum = weight * sum + (1 - weight);
    return mean / sum;
  });
}

/** Round numbers between two others. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const out = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) out.push(t);
  return out;
}

/** Logarithms of 1, 2 and 5 times powers of ten, or only of the powers where those are many. */
function logarithms(low, high) {
  const out = [];
  for (let power = Math.floor(low); power <= high; power += 1) {
    for (const m of high - low > 3 ? [1] : [1, 2, 5]) out.push(power + Math.log10(m));
  }
  return out.filter((t) => t >= low && t <= high);
}

function curvesOf(chart) {
  const weight = chart.exact ? 0 : Number(element('smooth').value);
  return drawn().flatMap((folder) => {
    const data = known.get(folder);
    if (!data) return [];
    return chart
      .curves(data)
      .filter(([, steps]) => steps.length > 0)
      .map(([name, steps, values, points]) => ({
        folder,
        name,
        steps,
        points,
        values: points ? values : smoothed(values, weight),
      }))
      .filter((curve) => curve.values.some((v) => v !== null));
  });
}

function draw(chart) {
  const { canvas } = chart;
  const curves = curvesOf(chart);
  chart.figure.hidden = Boolean(chart.optional) && curves.length === 0;
  const scale = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * scale;
  canvas.height = height * scale;
  const g = canvas.getContext('2d');
  g.scale(scale, scale);
  g.font = '11px system-ui, sans-serif';
  const style = getComputedStyle(document.documentElement);
  const [line, faint] = ['--line', '--faint'].map((name) => resolved(style.getPropertyValue(name)));
  const legend = [make('b', chart.title)];
  const values = curves.flatMap((c) => c.values).filter((v) => v !== null);
  const logarithmic = chart.loss && element('log').checked && values.every((v) => v > 0);
  const bend = logarithmic ? Math.log10 : (v) => v;
  if (values.length === 0) {
    chart.caption.replaceChildren(...legend);
    return;
  }
  const steps = curves.flatMap((c) => [c.steps[0], c.steps.at(-1)]);
  let [x0, x1] = [Math.min(...steps), Math.max(...steps)];
  let y0 = Math.min(...values.map(bend));
  let y1 = Math.max(...values.map(bend));
  if (chart.zero) y0 = Math.min(y0, 0);
  if (x0 === x1) [x0, x1] = [x0 - 1, x1 + 1];
  if (y0 === y1) [y0, y1] = [y0 - Math.abs(y0 || 1) * 0.1, y1 + Math.abs(y1 || 1) * 0.1];
  const left = 58;
  const [right, top, bottom] = [width - 10, 8, height - 20];
  const x = (step) => left + ((step - x0) / (x1 - x0)) * (right - left);
  const y = (value) => bottom - ((bend(value) - y0) / (y1 - y0)) * (bottom - top);

  g.strokeStyle = line;
  g.fillStyle = faint;
  g.lineWidth = 1;
  g.textAlign = 'right';
  g.textBaseline = 'middle';
  for (const t of logarithmic ? logarithms(y0, y1) : ticks(y0, y1, 5)) {
    const at = bottom - ((t - y0) / (y1 - y0)) * (bottom - top);
    g.beginPath();
    g.moveTo(left, at);
    g.lineTo(right, at);
    g.stroke();
    g.fillText(number(logarithmic ? 10 ** t : t), left - 6, at);
  }
  g.textAlign = 'center';
  g.textBaseline = 'top';
  for (const t of ticks(x0, x1, 6)) g.fillText(number(t), x(t), bottom + 5);

  const at = hovered ? x0 + ((hovered.x - left) / (right - left)) * (x1 - x0) : null;
  for (const curve of curves) {
    g.strokeStyle = g.fillStyle = colour(curve.folder);
    g.lineWidth = 1.6;
    g.setLineDash(DASHES[curve.name] ?? []);
    g.beginPath();
    let pen = false;
    curve.values.forEach((value, i) => {
      if (value === null) {
        pen = false;
        return;
      }
      if (curve.points) {
        g.moveTo(x(curve.steps[i]) + 3, y(value));
        g.arc(x(curve.steps[i]), y(value), 3, 0, 7);
      } else if (pen) g.lineTo(x(curve.steps[i]), y(value));
      else g.moveTo(x(curve.steps[i]), y(value));
      pen = true;
    });
    g.stroke();
    g.setLineDash([]);
    const index = at === null ? curve.values.length - 1 : nearest(curve.steps, at);
    const several = new Set(curves.map((c) => c.folder)).size > 1;
    const run = listed.find((r) => r.folder === curve.folder);
    const name = [several ? run?.name : '', curve.name].filter(Boolean).join(' ');
    const shown = make('span', `${name} ${number(curve.values[index], 5)}`);
    shown.style.color = colour(curve.folder);
    legend.push(shown);
  }
  if (at !== null && at >= x0 && at <= x1) {
    g.strokeStyle = faint;
    g.lineWidth = 1;
    g.beginPath();
    g.moveTo(x(at), top);
    g.lineTo(x(at), bottom);
    g.stroke();
    legend.push(make('span', `step ${number(Math.round(at))}`));
  }
  chart.caption.replaceChildren(...legend);
  canvas.setAttribute('aria-label', legend.map((l) => l.textContent).join(', '));
}

const nearest = (steps, at) => {
  let [low, high] = [0, steps.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** A custom property's colour as a canvas takes it: light-dark() is none. */
const probe = make('span');
probe.hidden = true;
document.body.append(probe);
function resolved(value) {
  probe.style.color = value;
  return getComputedStyle(probe).color;
}

function drawAll() {
  CHARTS.forEach(draw);
}

/** The pictures of the first drawn run that has any. */
function pictures() {
  const folder = drawn().find((f) => known.get(f)?.pictures.length > 0);
  element('pictures').hidden = folder === undefined;
  if (folder === undefined) return;
  const all = known.get(folder).pictures;
  const slider = element('picture');
  const atEnd = slider.value === slider.max || slider.max !== String(all.length - 1);
  slider.max = String(all.length - 1);
  if (atEnd) slider.value = slider.max;
  const [step, path] = all[Math.min(Number(slider.value), all.length - 1)];
  const run = listed.find((r) => r.folder === folder);
  element('picture-step').textContent = `${run?.name ?? folder}, step ${number(step)}`;
  const image = element('picture-image');
  const source = address(folder, path);
  if (image.getAttribute('src') !== source) image.src = source;
  image.alt = `input, target and reconstruction at step ${step}`;
}

async function update() {
  try {
    const all = await json('/runs.json');
    listed = all.runs;
    chosen ??= new Set(listed.slice(-1).map((run) => run.folder));
    element('folder').textContent = all.folder;
    table(all);
    await Promise.all(
      drawn().map(async (folder) => known.set(folder, await json(address(folder, 'data.json')))),
    );
    const at = new Date().toLocaleTimeString();
    element('status').textContent = [`read at ${at}`, ...all.unreadable].join('; ');
  } catch (error) {
    element('status').textContent = `no answer: ${error.message}`;
  }
  drawAll();
  pictures();
}

for (const id of ['smooth', 'log']) element(id).addEventListener('input', drawAll);
element('picture').addEventListener('input', pictures);
addEventListener('resize', drawAll);

await update();
setInterval(() => document.hidden || update(), PERIOD_MS);
