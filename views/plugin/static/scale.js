// Axes: ranges of numbers, places on the screen, and ticks.

/** Smallest and largest of the finite numbers. */
export function extent(values, isKept = () => true) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value == null || !Number.isFinite(value) || !isKept(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : null;
}

export function padded([low, high], isLog, share = 0.04) {
  if (isLog) {
    const factor = (high / low) ** share * (high === low ? 1.5 : 1);
    return [low / factor, high * factor];
  }
  const margin = (high - low) * share || Math.abs(high) * 0.1 || 1;
  return [low - margin, high + margin];
}

/** A place in pixels for each value; `invert` goes back. */
export function makeScale([low, high], isLog, start, end) {
  const map = isLog ? Math.log10 : (value) => value;
  const unmap = isLog ? (value) => 10 ** value : (value) => value;
  const [a, b] = [map(low), map(high)];
  const scale = (value) => start + ((map(value) - a) / (b - a)) * (end - start);
  scale.invert = (pixel) => unmap(a + ((pixel - start) / (end - start)) * (b - a));
  scale.domain = [low, high];
  scale.isLog = isLog;
  return scale;
}

/** About so many round values, on a logarithmic axis powers of ten where it is long. */
export function ticks({ domain: [low, high], isLog }, count) {
  if (isLog) {
    const decades = Math.log10(high / low);
    const steps = decades < 2 ? [1, 2, 5] : [1];
    const stride = Math.max(1, Math.ceil(decades / count));
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
      if (power % stride) continue;
      found.push(...steps.map((step) => step * 10 ** power));
    }
    const inside = found.filter((value) => value >= low && value <= high);
    if (inside.length > 1) return inside;
  }
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const found = [];
  for (let place = Math.ceil(low / step); place * step <= high; place += 1) found.push(place * step);
  return found;
}
