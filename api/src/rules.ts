import type { z } from 'zod';

/**
 * One constraint on one object, said twice: `cel` is what the API server runs, `check` what reading the same YAML without a
 * cluster runs. They agree on every value (rules.test.ts compares them); `message` names the change that helps.
 */
export interface LocalRule<T> {
  readonly cel: string;
  readonly message: string;
  /** Where the problem is shown, relative to the value: `.postgres`. */
  readonly fieldPath?: string;
  /** True when `self` is fine. `old` is there when an object is changed; a rule that needs it is true without. */
  readonly check: (self: T, old?: T) => boolean;
}

/** Attaches rules to a schema: to its parsing, and as `x-kubernetes-validations` to the CRD made from it. */
export function withRules<S extends z.ZodType>(schema: S, ...rules: readonly LocalRule<z.output<S>>[]): S {
  const checked = schema.superRefine((value, context) => {
    for (const rule of rules) {
      if (rule.check(value)) continue;
      const path = rule.fieldPath === undefined ? [] : rule.fieldPath.slice(1).split('.');
      context.addIssue({ code: 'custom', message: rule.message, path });
    }
  });
  const validations = rules.map(({ cel, message, fieldPath }) => ({
    rule: cel,
    message,
    ...(fieldPath === undefined ? {} : { fieldPath }),
  }));
  return checked.meta({ 'x-kubernetes-validations': validations });
}

/**
 * The whole value matches. The pattern must mean the same to RE2 and to JavaScript: anchored, ASCII classes, no `\s`, `\w`, `\b`,
 * look-around or single quote. Values beyond `maxLength` are left to the length's own message, so no pattern meets a long text.
 */
export function matches(pattern: RegExp, maxLength: number, message: string): LocalRule<string> {
  return {
    cel: `self.matches(r'${pattern.source}')`,
    message,
    check: (self) => self.length > maxLength || pattern.test(self),
  };
}

/** No two items have the same `key`. */
export function uniqueBy<K extends string>(key: K, message: string): LocalRule<readonly Record<K, string>[]> {
  return {
    cel: `self.all(x, self.exists_one(y, x.${key} == y.${key}))`,
    message,
    check: (self) => new Set(self.map((item) => item[key])).size === self.length,
  };
}

/** The value never changes once it is there. */
export function immutable<T>(message: string): LocalRule<T> {
  return {
    cel: 'self == oldSelf',
    message,
    check: (self, old) => old === undefined || JSON.stringify(self) === JSON.stringify(old),
  };
}
