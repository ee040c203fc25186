/** The part of jStat that is used: it comes without types, and as a CommonJS module, which Node.js gives as a default only. */
declare module 'jstat' {
  const jStat: {
    readonly normal: {
      readonly cdf: (x: number, mean: number, stddev: number) => number;
      readonly inv: (p: number, mean: number, stddev: number) => number;
    };
    readonly studentt: {
      readonly cdf: (t: number, degrees: number) => number;
      readonly inv: (p: number, degrees: number) => number;
    };
  };
  export default jStat;
}
