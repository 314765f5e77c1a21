/**
 * Epoch ms as the wall clock would say if nobody had set it since this process started. It never goes back and never jumps, so that only it may tell how
 * long ago something was; what leaves the process is dated by the wall clock.
 */
export const steadyNowMs = (): number => performance.timeOrigin + performance.now();

/** A time of the steady clock as the wall clock dates it now, epoch ms; 0 (never) stays 0. */
export const wallOf = (steadyMs: number): number => (steadyMs === 0 ? 0 : Math.max(0, Math.floor(Date.now() - (steadyNowMs() - steadyMs))));

/** The other way round, for a time that was kept by another process. */
export const steadyOf = (wallMs: number): number => (wallMs === 0 ? 0 : steadyNowMs() - (Date.now() - wallMs));
