'use strict';
// The search: a regular expression, without regard to case.

// { test: (name) => whether it matches, or null for no text or an invalid expression; invalid: why it is, or '' }
function compileSearch(text) {
  if (!text) return { test: null, invalid: '' };
  try {
    const expression = new RegExp(text, 'i');
    return { test: (name) => expression.test(name), invalid: '' };
  } catch (error) {
    // Browsers repeat the expression before the reason.
    return { test: null, invalid: `invalid regular expression: ${error.message.split(': ').pop().toLowerCase()}` };
  }
}

// For each frame whether it matches; null for no test.
function matchFrames(profile, test) {
  return test && Uint8Array.from(profile.names, test);
}

// For each stack whether any of its frames matches.
function matchStacks(profile, frames) {
  const hit = new Uint8Array(profile.parents.length);
  for (let i = 0; i < hit.length; i++) {
    const parent = profile.parents[i];
    hit[i] = frames[profile.stackFrames[i]] || (parent >= 0 && hit[parent]);
  }
  return hit;
}
