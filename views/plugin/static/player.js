// The player: which step is shown; slider, buttons, keys, and following a training.

import { element, number, svg } from "./dom.js";

const FRAME = 120; // ms between steps while playing, at least
const LEAP = 10; // steps of Page Up and Page Down

// Drawn, since not every font has these signs.
const ICONS = {
  first: "M2 2v10M12 2l-8 5 8 5z",
  back: "M10 2l-6 5 6 5z",
  play: "M3 1l9 6-9 6z",
  pause: "M4 2v10M10 2v10",
  on: "M4 2l6 5-6 5z",
  last: "M12 2v10M2 2l8 5-8 5z",
};

function icon(name) {
  return svg("svg", { viewBox: "0 0 14 14", width: 12, height: 12, "aria-hidden": "true" },
    svg("path", { d: ICONS[name], fill: "currentColor", stroke: "currentColor" }));
}

export class Player {
  /**
   * @param show shows the current step; a promise of its being on screen
   * @param transitions steps with a transition of what is shown
   * @param wanted the step to begin with; null for the last
   */
  constructor(show, transitions, wanted = null) {
    this.show = show;
    this.transitions = transitions;
    this.steps = [];
    this.place = -1; // in steps
    this.wanted = wanted;
    this.isFollowing = wanted === null;
    const button = (sign, label, test, press) => element("button", {
      type: "button", "aria-label": label, title: label, "data-testid": test, onclick: press,
    }, icon(sign));
    this.play = button("play", "Play (Space)", "play", () => this.#toggle());
    this.slider = element("input", {
      type: "range", min: 0, max: 0, value: 0, "aria-label": "Step", "data-testid": "slider",
      oninput: () => this.go(Number(this.slider.value)),
    });
    this.position = element("output", { "data-testid": "position" });
    this.follow = element("input", {
      type: "checkbox", checked: true, "data-testid": "follow",
      onchange: () => this.follow.checked && this.go(this.steps.length - 1),
    });
    this.nodes = [
      element("span", { class: "steps", role: "group", "aria-label": "Steps" },
        button("first", "Transition before ([)", "previous-transition", () => this.#leap(-1)),
        button("back", "Step before (←)", "previous", () => this.go(this.place - 1)),
        this.play,
        button("on", "Next step (→)", "next", () => this.go(this.place + 1)),
        button("last", "Next transition (])", "next-transition", () => this.#leap(1)),
        this.slider, this.position),
      element("label", { title: "Stay at the newest step while it is shown" }, this.follow,
        "follow"),
    ];
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  /** The step that is shown; undefined before there is one. */
  get step() {
    return this.steps[this.place];
  }

  /** Take other steps, in order, and stay where it was or, following, go to the last. */
  setSteps(steps) {
    const step = this.wanted ?? this.step;
    const last = steps.length - 1;
    const found = steps.findIndex((each) => each >= step);
    if (found >= 0) this.wanted = null; // else it may still have to be read
    this.steps = steps;
    this.slider.max = Math.max(0, last);
    this.place = this.isFollowing || found < 0 ? last : found;
    this.shown = this.show();
  }

  go(place) {
    if (!this.steps.length) return this.shown;
    this.wanted = null;
    const last = this.steps.length - 1;
    this.place = Math.min(Math.max(place, 0), last);
    this.isFollowing = this.follow.checked && this.place === last;
    this.shown = this.show();
    return this.shown;
  }

  goToStep(step) {
    const place = this.steps.indexOf(step);
    if (place >= 0) this.go(place);
  }

  /** Say where it is. */
  tell(heading) {
    this.slider.value = Math.max(this.place, 0);
    const words = heading ? [`step ${this.step}`] : ["no step yet"];
    if (heading?.epoch != null) words.push(`epoch ${number(heading.epoch)}`);
    if (heading?.time != null) words.push(`t = ${number(heading.time)}`);
    this.position.textContent = words.join(" · ");
    this.slider.setAttribute("aria-valuetext", words.join(", "));
  }

  /** Go to the transition before or behind the step that is shown. */
  #leap(direction) {
    const ahead = this.transitions().filter((step) => (step - this.step) * direction > 0);
    if (ahead.length) this.goToStep(direction > 0 ? Math.min(...ahead) : Math.max(...ahead));
  }

  async #toggle() {
    this.#setPlaying(!this.isPlaying);
    if (!this.isPlaying || this.isLooping) return;
    this.isLooping = true;
    if (this.place >= this.steps.length - 1) await this.go(0);
    while (this.isPlaying && this.place < this.steps.length - 1) {
      const pause = new Promise((resolve) => setTimeout(resolve, FRAME));
      await this.go(this.place + 1);
      await pause;
    }
    this.isLooping = false;
    this.#setPlaying(false);
  }

  #setPlaying(isPlaying) {
    this.isPlaying = isPlaying;
    this.play.replaceChildren(icon(isPlaying ? "pause" : "play"));
    this.play.setAttribute("aria-label", isPlaying ? "Pause (Space)" : "Play (Space)");
  }

  #key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    const { target, key } = event;
    // What the focused control does with a key goes first.
    if (target.matches("select, input[type=range]") && !"[] ".includes(key)) return;
    if (key === " " && target.matches("button, input[type=checkbox], select, summary")) return;
    const act = {
      ArrowLeft: () => this.go(this.place - 1),
      ArrowRight: () => this.go(this.place + 1),
      PageUp: () => this.go(this.place - LEAP),
      PageDown: () => this.go(this.place + LEAP),
      Home: () => this.go(0),
      End: () => this.go(this.steps.length - 1),
      "[": () => this.#leap(-1),
      "]": () => this.#leap(1),
      " ": () => this.#toggle(),
    }[key];
    if (!act) return;
    event.preventDefault();
    act();
  }
}
