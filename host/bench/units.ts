/** Where the time of a decoded token goes. */
import type { Model } from "../runtime/model.ts";
import type { Session } from "../runtime/session.ts";

export interface UnitTime {
  unit: string;
  /** A token. */
  seconds: number;
}

/** Decodes `count` tokens from `first` on, while every unit counts its time. That costs a little, so speeds are measured apart. */
export function measureUnits(model: Model, session: Session, first: number, count: number): UnitTime[] {
  let token = first;
  model.profile(true);
  for (let i = 0; i < count; i++) {
    session.feed(token);
    token = session.sample();
  }
  const counted = model.unitTimes();
  model.profile(false);
  return counted.map(({ unit, seconds }) => ({ unit, seconds: seconds / count }));
}
