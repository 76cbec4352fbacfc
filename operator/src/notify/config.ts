import { z } from 'zod';

/** Groups of the system are nobody's to give. */
const GROUP = /^(?!system:)[^\s]/;
const file = z.string().min(1).max(512);
/** Without user, password and fragment: what is secret is in a Secret. */
const httpsUrl = z
  .url({ protocol: /^https$/ })
  .max(2048)
  .refine((text) => {
    const { username, password, hash } = new URL(text);
    return username === '' && password === '' && hash === '';
  }, 'write an https URL without user, password and fragment');

/** Where notices go. Secrets are files, which may change while the operator runs. */
export const NotifyConfig = z
  .strictObject({
    webhooks: z
      .array(z.strictObject({ url: httpsUrl, secretFile: file }))
      .max(16)
      .default([]),
    slack: z
      .strictObject({
        /** IDs, as Slack's own URLs show them: names may be taken over. */
        channel: z.string().regex(/^[CG][A-Z0-9]{2,31}$/),
        team: z.string().regex(/^T[A-Z0-9]{2,31}$/),
        tokenFile: file,
        signingSecretFile: file,
        consoleUrl: httpsUrl.refine((text) => new URL(text).search === '', 'write a URL without query'),
        /** How the cluster calls the person whom Slack knows by this address. */
        user: z
          .string()
          .max(128)
          .regex(/^[^{}]*\{email\}[^{}]*$/)
          .refine((text) => !text.startsWith('system:'), 'no person has a name of the system')
          .default('{email}'),
        /** Groups of the cluster by the Slack user group that has the same people. */
        groups: z.record(z.string().max(256).regex(GROUP), z.string().regex(/^S[A-Z0-9]{2,31}$/)).default({}),
      })
      .optional(),
  })
  .refine(({ slack }) => Object.keys(slack?.groups ?? {}).length <= 32, 'at most 32 groups');
export type NotifyConfig = z.infer<typeof NotifyConfig>;
export type SlackConfig = NonNullable<NotifyConfig['slack']>;
