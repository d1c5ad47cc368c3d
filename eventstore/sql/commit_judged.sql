-- And in the same transaction what was given: $88 units, $89 projects, $90 keys and $91 traces, one each.
with judged as materialized (select unit, status, first_position, known from commit_judged(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
    $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41, $42, $43, $44,
    $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57, $58, $59, $60, $61, $62, $63, $64, $65, $66,
    $67, $68, $69, $70, $71, $72, $73, $74, $75, $76, $77, $78, $79, $80, $81, $82, $83, $84, $85, $86, $87
)), noted as (
    insert into traces (project, key, trace)
    select given.project, given.key, given.trace
    from unnest($88::integer[], $89::text[], $90::text[], $91::text[]) as given(unit, project, key, trace)
    join judged using (unit)
    where judged.status = 'committed'
    on conflict (project, key) do nothing
)
select unit, status, first_position, known from judged order by unit
