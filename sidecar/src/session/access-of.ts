import { type Access, accessOnBehalfOf, type Caller } from '@chaperone/policy';

/** The access in force as a caller has it. Asked for several times for every action. */
export function accessOf(current: () => Access, caller: Caller | undefined): () => Access {
  let known: { readonly whole: Access; readonly own: Access } | undefined;
  return () => {
    const whole = current();
    if (known?.whole !== whole) known = { whole, own: accessOnBehalfOf(whole, caller) };
    return known.own;
  };
}
