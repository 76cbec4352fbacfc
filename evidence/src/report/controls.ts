import type { ReportKind } from './report.ts';

/**
 * Which controls a report supports evidence for; it proves none of them. SOC 2: AICPA TSC 2017 (points of focus 2022) · ISO/IEC 27001:2022
 * Annex A · PCI DSS 4.0.1 · HIPAA: 45 CFR 164.
 */
export const CONTROLS: Readonly<Record<ReportKind, readonly string[]>> = {
  population: ['SOC 2 CC7.2', 'ISO 27001 A.8.15', 'PCI DSS 10.2.1, 10.2.2', 'HIPAA 164.312(b)'],
  access: ['SOC 2 CC6.1, CC6.3', 'ISO 27001 A.5.15, A.8.2, A.8.3', 'PCI DSS 7.2, 7.2.5', 'HIPAA 164.312(a)(1)'],
  approvals: ['SOC 2 CC6.2, CC6.3', 'ISO 27001 A.5.18', 'PCI DSS 7.2.4, 8.2.5', 'HIPAA 164.308(a)(4)'],
  denials: ['SOC 2 CC6.6, CC7.2', 'ISO 27001 A.8.16', 'PCI DSS 10.2.1.4, 10.4.1', 'HIPAA 164.308(a)(1)(ii)(D)'],
  masking: ['SOC 2 CC6.1, CC6.7', 'ISO 27001 A.8.11, A.8.12', 'PCI DSS 3.4.1, 7.2.6', 'HIPAA 164.502(b)'],
  gaps: [
    'SOC 2 CC7.2, CC7.4',
    'ISO 27001 A.5.28, A.5.33, A.8.15',
    'PCI DSS 10.3.2, 10.5.1, 10.7',
    'HIPAA 164.312(c)(1), 164.316(b)(2)(i)',
  ],
  reads: ['SOC 2 CC6.1, CC7.2', 'ISO 27001 A.5.33, A.8.15', 'PCI DSS 10.2.1.3, 10.3.1', 'HIPAA 164.308(a)(1)(ii)(D), 164.312(b)'],
  keys: ['SOC 2 CC6.1', 'ISO 27001 A.5.16, A.8.24', 'PCI DSS 3.6, 8.2.1', 'HIPAA 164.312(a)(2)(i)'],
};
