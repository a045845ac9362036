'use strict';
// Short forms of function names. What differs least is left out first: parameters, template arguments, then the middle of the path.

const CLOSERS = { '<': '>', '(': ')' };

// Whether the bracket at `at` begins a list of parameters or template arguments: it follows a name, and is not part of an operator's.
function beginsList(name, at) {
  const before = name.slice(Math.max(0, at - 11), at);
  if (name[at] === '<') return /[\w\]:]$/.test(before) && !/operator$/.test(before);
  return /[\w\])>…]$|operator[^\w\s]{1,3}$/.test(before) && !/operator$/.test(before);
}

// The name with `…` in place of what the outermost lists in this kind of bracket contain.
function collapse(name, open) {
  const close = CLOSERS[open];
  let out = '';
  let depth = 0;
  for (let at = 0; at < name.length; at++) {
    const letter = name[at];
    if (depth > 0) {
      if (letter === open) depth++;
      // An arrow closes nothing.
      else if (letter === close && !(close === '>' && '-='.includes(name[at - 1])) && --depth === 0) out += close;
      continue;
    }
    out += letter;
    if (letter === open && name[at + 1] !== close && beginsList(name, at)) {
      depth = 1;
      out += '…';
    }
  }
  return depth > 0 ? name : out;
}

// The name in at most `room` characters, shortened in the middle.
function shorten(name, room) {
  if (name.length <= room) return name;
  const withoutParameters = collapse(name, '(');
  if (withoutParameters.length <= room) return withoutParameters;
  const bare = collapse(withoutParameters, '<');
  if (bare.length <= room) return bare;
  const path = bare.split('::');
  const last = path.at(-1);
  const forms = path.length > 1 ? [`${path[0]}::…::${last}`, `…::${last}`] : [];
  return forms.find((form) => form.length <= room) ?? cut(last, room);
}

// The start and the end of a text; only the start where there is little room.
function cut(text, room) {
  if (text.length <= room) return text;
  const tail = room < 12 ? 0 : Math.floor((room - 1) / 3);
  return `${text.slice(0, Math.max(0, room - 1 - tail))}…${tail ? text.slice(-tail) : ''}`;
}

// The names in at most `room` characters each. Where different names would look the same, each shows the part that differs.
function distinctForms(names, room) {
  const forms = new Map([...new Set(names)].map((name) => [name, shorten(name, room)]));
  // A difference may be far behind another one.
  for (let round = 0; round < 4; round++) {
    const alike = new Map();
    for (const [name, form] of forms) {
      if (!alike.has(form)) alike.set(form, []);
      alike.get(form).push(name);
    }
    for (const group of alike.values()) {
      if (group.length < 2) continue;
      const common = commonStart(group);
      for (const name of group) forms.set(name, around(name, common, room));
    }
  }
  return names.map((name) => forms.get(name));
}

// The number of characters with which all these names begin.
function commonStart(names) {
  const sorted = [...names].sort();
  const [first, last] = [sorted[0], sorted.at(-1)];
  let length = 0;
  while (length < first.length && first[length] === last[length]) length++;
  return length;
}

// The start and the end of a name, and between them the part that begins at `place`.
function around(name, place, room) {
  if (name.length <= room) return name;
  const head = Math.floor(room / 4);
  const tail = Math.floor(room / 5);
  const middle = room - head - tail - 2;
  const from = Math.max(head, Math.min(place - 3, name.length - tail - middle));
  return from <= head + 1 ? `${name.slice(0, room - 1 - tail)}…${name.slice(-tail)}`
    : `${name.slice(0, head)}…${name.slice(from, from + middle)}…${name.slice(-tail)}`;
}
