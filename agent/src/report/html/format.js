'use strict';
// How quantities are written, and how elements are made. Units are always shown.

function nanos(value) {
  const size = Math.abs(value);
  if (size < 999.5) return `${Math.round(value)} ns`;
  const [scaled, unit] = size < 999.5e3 ? [value / 1e3, 'us'] : size < 999.5e6 ? [value / 1e6, 'ms'] : [value / 1e9, 's'];
  const digits = Math.abs(scaled) < 9.995 ? 2 : Math.abs(scaled) < 99.95 ? 1 : 0;
  return `${digits ? scaled.toFixed(digits) : count(Math.round(scaled))} ${unit}`;
}

// A value in the unit of its metric.
function amount(value, unit) {
  return { nanoseconds: nanos, bytes, count }[unit](value);
}

// A value for each nanosecond, as a rate. Time that passes in each nanosecond is a number of things at a time: of `what`.
function rate(value, unit, what) {
  return unit === 'nanoseconds' ? `${value.toFixed(value < 10 ? 2 : 1)} ${what}` : `${amount(value * 1e9, unit)}/s`;
}

// A sum with its standard error, if there is one.
function estimate(sum, unit) {
  const { value, error } = sum;
  return error > 0 ? `${amount(value, unit)} ± ${amount(error, unit)}` : amount(value, unit);
}

function percent(part, whole) {
  const share = whole > 0 ? 100 * part / whole : 0;
  return `${share.toFixed(share >= 99.95 || share === 0 ? 0 : share < 0.1 ? 3 : share < 10 ? 2 : 1)} %`;
}

function count(number) {
  return Math.round(number).toLocaleString('en-US');
}

function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

function bytes(number) {
  if (number < 1023.5) return `${Math.round(number)} B`;
  const power = Math.min(3, Math.floor(Math.log2(number) / 10));
  return `${(number / 1024 ** power).toFixed(power === 3 ? 2 : 1)} ${['B', 'KiB', 'MiB', 'GiB'][power]}`;
}

// A time on the axis, as exact as steps of so many nanoseconds ask for.
function seconds(value, step) {
  const digits = Math.max(0, Math.min(9, Math.ceil(9 - Math.log10(step) - 1e-9)));
  return `${(value / 1e9).toFixed(digits)} s`;
}

const by = (id) => document.getElementById(id);

// The element `tag` with properties and children; text is never read as HTML.
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== 'role') made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}
