import { Button, FileButton, NumberInput, Skeleton } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useMutation, useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import type { PlanProblem, RunDescription, RunSchedule } from '@fedlora/shared';
import { api } from '../../api.js';
import { fieldProblemsOf } from '../../blocks/api-form.js';
import { ConfirmButton } from '../../blocks/confirm-button.js';
import { PageFrame } from '../../blocks/page-frame.js';
import { Refusal } from '../../blocks/refusal.js';
import { FoldableSection, Nothing, Section } from '../../blocks/section.js';
import { ScheduleFields } from '../calendar/schedule-fields.js';
import { fieldGroups, meant, startingDescription, valueAt, withValue, type PlanField } from './plan/fields.js';
import { Forecast } from './plan/forecast.js';
import { PlanFieldInput } from './plan/plan-field.js';

/** After the last key: long enough not to ask for every digit. */
const SETTLED_MS = 400;
/** Before the paths of a schedule's fields. */
const SCHEDULE = 'schedule.';

/** A run before it starts: what is wrong with it, next to each field, and what it would spend, send and survive. */
export default function PlanPage() {
  const navigate = useNavigate();
  const [description, setDescription] = useState<RunDescription>(startingDescription);
  const [cap, setCap] = useState<number | null>(8);
  const [asked] = useDebouncedValue({ ...meant(description), epsilonCaps: cap === null ? [] : [cap] }, SETTLED_MS);
  const forecast = useQuery({
    queryKey: ['plan', asked],
    queryFn: () => api.planRun(asked),
    placeholderData: keepPreviousData,
    retry: false,
  });
  const reading = useMutation({
    mutationFn: async (file: File) => ({
      ...startingDescription,
      ...(JSON.parse(await file.text()) as RunDescription),
    }),
    onSuccess: setDescription,
  });

  const wrong = fieldProblemsOf(forecast.error);
  const problems = forecast.error === null ? (forecast.data?.problems ?? []) : [];
  const shown = new Set(
    fieldGroups.flatMap(({ fields }) => fields.filter((one) => isShown(one, description))).map(({ path }) => path),
  );
  const scheduleProblems = Object.fromEntries(
    [
      ...Object.entries(wrong),
      ...problems.map(({ field, message, remedy }) => [field ?? '', `${message} ${remedy}`] as const),
    ].flatMap(([field, text]) => (field.startsWith(SCHEDULE) ? [[field.slice(SCHEDULE.length), text]] : [])),
  ) as Record<string, string>;
  const isNextToField = (field: string | null): boolean =>
    field !== null && (shown.has(field) || field.startsWith(SCHEDULE));
  const elsewhere = [
    ...problems.filter(({ field }) => !isNextToField(field)).map(sentence),
    ...Object.entries(wrong).flatMap(([field, message]) => (isNextToField(field) ? [] : [message])),
  ];
  const plan = forecast.error === null ? (forecast.data?.plan ?? null) : null;

  return (
    <PageFrame
      title="Plan a run"
      lead="Nothing starts until you start it. The forecast follows every change."
      actions={
        <>
          <FileButton accept="application/json" onChange={(file) => file !== null && reading.mutate(file)}>
            {(props) => (
              <Button {...props} size="xs" variant="default">
                Read a description (JSON)
              </Button>
            )}
          </FileButton>
          <ConfirmButton
            variant="filled"
            disabled={plan === null || forecast.isFetching}
            question="Start this run?"
            consequence={
              <p>
                Its terms are signed and cannot be changed any more. Rounds begin as soon as enough of the{' '}
                {plan?.members.length} members are ready.
              </p>
            }
            action="Start run"
            onConfirm={async () => {
              const { id } = await api.startRun(meant(description));
              await navigate({ to: '/runs/$runId', params: { runId: id } });
            }}
          >
            Start
          </ConfirmButton>
        </>
      }
    >
      {reading.isError && (
        <Section testId="plan-file" title="The file was not read">
          <Nothing title="It is no JSON">Choose a run description as `fedlora admin runs start` takes it.</Nothing>
        </Section>
      )}
      <Section testId="plan-forecast" title="Forecast">
        {forecast.error !== null && Object.keys(wrong).length === 0 && (
          <Refusal error={forecast.error} title="There is no forecast" />
        )}
        {elsewhere.map((text) => (
          <p key={text} className="reason">
            {text}
          </p>
        ))}
        {plan !== null ? (
          <Forecast plan={plan} />
        ) : forecast.isPending ? (
          <Skeleton height={120} />
        ) : (
          <Nothing title="Not yet a run">
            What is wrong stands next to the fields. The forecast comes when nothing is.
          </Nothing>
        )}
      </Section>
      {fieldGroups.map(({ title, byDefault, fields }) => {
        const visible = fields.filter((field) => isShown(field, description));
        const errorOf = (path: string): string | undefined => wrong[path] ?? said(problems, path, 'error');
        const inputs = (
          <div className="field-grid">
            {visible.map((field) => (
              <PlanFieldInput
                key={field.path}
                field={field}
                value={valueAt(description, field.path)}
                error={errorOf(field.path)}
                advice={said(problems, field.path, 'advice')}
                onChange={(value) => setDescription((before) => withValue(before, field.path, value))}
              />
            ))}
            {title === 'Privacy' && (
              <NumberInput
                label="Compare with a cap"
                description="An organisation’s cap on epsilon: the forecast says how many rounds fit."
                error={wrong['epsilonCaps']}
                hideControls
                value={cap ?? ''}
                onChange={(given) => setCap(typeof given === 'number' ? given : null)}
              />
            )}
          </div>
        );
        const testId = `plan-${title.toLowerCase().replaceAll(' ', '-')}`;
        return byDefault === undefined ? (
          <Section key={title} testId={testId} title={title}>
            {inputs}
          </Section>
        ) : (
          <FoldableSection
            key={title}
            testId={testId}
            title={title}
            aside={`Default: ${byDefault}`}
            opensFor={visible.some(
              ({ path }) => valueAt(description, path) !== undefined || errorOf(path) !== undefined,
            )}
          >
            {inputs}
          </FoldableSection>
        );
      })}
      <FoldableSection
        testId="plan-schedule"
        title="Schedule"
        aside="Default: rounds follow each other"
        opensFor={description.schedule !== undefined}
      >
        <ScheduleFields
          schedule={description.schedule ?? {}}
          problems={scheduleProblems}
          onChange={(schedule) => setDescription((before) => withSchedule(before, schedule))}
        />
      </FoldableSection>
    </PageFrame>
  );
}

function withSchedule(description: RunDescription, schedule: RunSchedule): RunDescription {
  return withValue(description, 'schedule', Object.keys(schedule).length === 0 ? undefined : schedule);
}

function isShown({ appliesTo }: PlanField, description: RunDescription): boolean {
  return appliesTo?.(description) ?? true;
}

function said(problems: readonly PlanProblem[], path: string, severity: PlanProblem['severity']): string | undefined {
  const found = problems.find((problem) => problem.field === path && problem.severity === severity);
  return found && `${found.message} ${found.remedy}`;
}

function sentence({ field, message, remedy }: PlanProblem): string {
  return `${field === null ? '' : `${field}: `}${message} ${remedy}`;
}
