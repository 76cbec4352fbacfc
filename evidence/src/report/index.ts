export * from './report.ts';
export { type Cell, MAX_REPORT_ROWS, ReportRefused, type Row } from './rows.ts';
