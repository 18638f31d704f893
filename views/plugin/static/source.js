// What the server knows of the runs. History is fetched once and grows; moments one step at a time.

const KEPT_MOMENTS = 400;

async function fetchJson(route, query = {}) {
  const address = new URL(route, import.meta.url);
  address.search = new URLSearchParams(query);
  const answer = await fetch(address, { cache: "no-store" });
  return answer.json();
}

export function fetchRuns() {
  return fetchJson("runs");
}

/** One run's history of one block, kept up to date. */
export class History {
  constructor(run) {
    this.run = run;
    this.generation = 0;
    this.records = [];
    this.blocks = [];
    this.directions = [];
    this.quantities = {}; // {title, unit, axes: how many} by name
    this.kinds = {}; // {title, unit} of a matrix by name
    this.clock = ""; // what time counts
    this.problem = "";
    this.isComplete = false;
  }

  /** Fetch what is new, one request after the other; whether anything is. */
  update(matrix, block) {
    const before = this.pending ?? Promise.resolve();
    this.pending = before.catch(() => {}).then(() => this.#fetch(matrix, block));
    return this.pending;
  }

  async #fetch(matrix, block) {
    const isOther = matrix !== this.matrix || block !== this.block;
    const answer = await fetchJson("history", {
      run: this.run,
      matrix,
      block,
      first: isOther ? 0 : this.records.length,
      generation: this.generation,
    });
    if (answer.records === undefined) {
      const changed = this.problem !== answer.problem;
      this.problem = answer.problem;
      return changed;
    }
    const before = `${this.problem} ${this.generation} ${this.isComplete}`;
    this.records = [...this.records.slice(0, answer.first), ...answer.records];
    this.generation = answer.generation;
    this.blocks = answer.blocks;
    for (const part of ["directions", "quantities", "kinds", "clock"]) this[part] = answer[part];
    this.problem = answer.problem;
    this.isComplete = answer.read >= answer.size || answer.problem !== "";
    this.progress = answer.size ? answer.read / answer.size : 1;
    this.matrix = matrix || answer.matrix;
    this.block = matrix ? block : answer.block;
    const after = `${this.problem} ${this.generation} ${this.isComplete}`;
    return isOther || answer.records.length > 0 || before !== after;
  }

  /** Index of the last record at or before a step, or -1. */
  indexAt(step) {
    let low = 0;
    let high = this.records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.records[middle].heading.step <= step) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

const moments = new Map();

/** Everything of one block at one step. */
export async function fetchMoment(history, step, matrix, block) {
  const key = JSON.stringify([history.run, history.generation, step, matrix, block]);
  if (!moments.has(key)) {
    const moment = await fetchJson("record", { run: history.run, step, matrix, block });
    if (moment.problem) return moment;
    moments.set(key, moment);
    if (moments.size > KEPT_MOMENTS) moments.delete(moments.keys().next().value);
  }
  return moments.get(key);
}
